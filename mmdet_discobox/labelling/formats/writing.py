"""Write a labelled data set in one of the formats."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from mmdet_discobox.utils.files import write_json
from mmdet_discobox.utils.types import Json

from .labelled_images import count_unmasked
from .voc_png import check_voc_png, write_voc_png
from .yolo_seg import check_yolo_seg, write_yolo_seg

#: a COCO json, the folder of ultralytics' segmentation training, the folder of Pascal VOC
FORMATS = ("coco", "yolo-seg", "voc-png")


def check_output(file_format: str, out: Path) -> None:
    """Check that the output can be written without replacing other files.

    Args:
        file_format: one of :data:`FORMATS`.
        out: the json of "coco", which may exist; the folder of the other formats, which may not,
            unless it is empty.

    Raises:
        ValueError: if it is a folder instead of a file or the other way round, or has files.
    """
    if file_format == "coco":
        if out.is_dir():
            raise ValueError(f"Expected OUT_JSON to be a file, but '{out}' is a folder.")
    elif out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise ValueError(
            f"Expected a new or empty folder for --format {file_format}, but '{out}' exists. Pass "
            "another folder, or delete this one."
        )


def check_images(file_format: str, dataset: Json, classes: Collection[str] | None = None) -> None:
    """Check that a format can hold the images, boxes and classes, before they are labelled.

    Args:
        file_format: one of :data:`FORMATS`.
        dataset: a COCO json, with or without masks.
        classes: names of the classes that are still to be labelled; None for all.

    Raises:
        ValueError: if two images would be written to the same file, a name does not fit in a line
            of a list, or "voc-png" has too many objects or classes for 8 bits, or a class
            "background".
    """
    if file_format == "yolo-seg":
        check_yolo_seg(dataset)
    elif file_format == "voc-png":
        check_voc_png(dataset, classes)


def write_masks(
    file_format: str, out: Path, dataset: Json, image_dir: Path | None = None
) -> list[str]:
    """Write a labelled data set.

    Args:
        file_format: one of :data:`FORMATS`.
        out: json or folder, see :func:`check_output`. It is written in one piece.
        dataset: a COCO json with masks, see :func:`add_masks`.
        image_dir: folder of the images, if known: "yolo-seg" links them.

    Returns:
        Sentences for the user: what the format does not hold, and what is left to do.

    Raises:
        ValueError: see :func:`check_output` and :func:`check_images`.
    """
    check_output(file_format, out)
    check_images(file_format, dataset, classes=())
    out.parent.mkdir(parents=True, exist_ok=True)
    if file_format == "coco":
        write_json(out, dataset)
        return []
    notes = []
    if unmasked := count_unmasked(dataset):
        boxes = "1 box has" if unmasked == 1 else f"{unmasked} boxes have"
        notes.append(f"{boxes} no mask in images with masks, and count as background there.")
    if file_format == "yolo-seg":
        return notes + write_yolo_seg(out, dataset, image_dir)
    return notes + write_voc_png(out, dataset)
