"""Detect the format of boxes and read them."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from mmdet_discobox.annotation_files.coco_reading import open_coco
from mmdet_discobox.annotation_files.coco_validation import load_coco_json
from mmdet_discobox.utils.types import Json

from .label_files import visible_files
from .voc_xml import read_voc_xml
from .yolo_txt import read_yolo_txt


def read_boxes(path: str | Path, image_dir: str | Path) -> Json:
    """Read a COCO json, a folder of Pascal VOC xml files, or a folder of YOLO txt files.

    Args:
        path: the json or the folder.
        image_dir: folder of the images.

    Returns:
        The result of :func:`open_coco`. A COCO json keeps its ids and all fields that need no
        repair; boxes of the other formats, which have no ids, are numbered from 1 in the order of
        the file names and of the boxes in each file.

    Raises:
        FileNotFoundError: if the json, a folder, or an image that defines the size of its boxes is
            missing.
        ValueError: if the boxes cannot be read or used.
    """
    path, image_dir = Path(path), Path(image_dir)
    if not image_dir.is_dir():
        raise FileNotFoundError(f"Expected a folder of images at '{image_dir}', but found none.")
    dataset = _read_folder(path, image_dir) if path.is_dir() else load_coco_json(path)
    return open_coco(dataset, name=str(path), image_dir=image_dir)


def _read_folder(path: Path, image_dir: Path) -> Json:
    suffixes = {file.suffix.lower() for file in visible_files(path)}
    if ".xml" in suffixes:
        return read_voc_xml(path, image_dir)
    if ".txt" in suffixes:
        return read_yolo_txt(path, image_dir)
    inside = sorted({each.parent for each in islice(path.rglob("*.[tx][xm][tl]"), 1000)})
    names = ", ".join(f"'{folder}'" for folder in inside[:3])
    raise ValueError(
        f"Expected Pascal VOC xml files or YOLO txt files in the folder '{path}', but found none. "
        + (f"Such files are in {names}: pass the folder of the labels. " if inside else "")
        + "For COCO, pass the json file itself."
    )
