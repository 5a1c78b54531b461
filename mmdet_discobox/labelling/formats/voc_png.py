"""Write masks as palette images of Pascal VOC.

    OUT/SegmentationObject/NAME.png             number of each pixel's object
    OUT/SegmentationClass/NAME.png              number of each pixel's class
    OUT/ImageSets/Segmentation/train.txt        one line NAME per image
    OUT/class_names.txt                         name of class n in line n, from 0, the background

0 is background. Objects are numbered from 1 in the order of their annotations. Pixels of several
objects belong to the smallest one. 255 (void) marks crowds and ignored objects only: unlike VOC's
own masks, objects have no void border.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from mmdet_discobox.labelling.labelled_boxes import has_mask, is_asked
from mmdet_discobox.labelling.mask_encoding import decode_rle
from mmdet_discobox.utils.files import new_folder
from mmdet_discobox.utils.types import Json
from mmdet_discobox.utils.voc import VOC_CLASSES, voc_colours

from .labelled_images import (
    LabelledImage,
    check_file_names,
    check_lines,
    count,
    is_ignored,
    labelled_images,
    relative_path,
)

VOID = 255
#: name of class 0
_BACKGROUND = "background"


def check_voc_png(dataset: Json, classes: Collection[str] | None = None) -> None:
    """Raise a ValueError if the format cannot hold the names, classes or objects.

    Args:
        dataset: a COCO json, with or without masks.
        classes: names of the classes that are still to be labelled; None for all.
    """
    check_file_names(dataset, relative_path, file_format="voc-png", suffix=".png")
    names = [category["name"] for category in dataset["categories"]]
    check_lines(names, "class", file_format="voc-png")
    if _BACKGROUND in names:
        raise ValueError(
            f"Expected no class '{_BACKGROUND}' for --format voc-png, in which this is the name of "
            "0, the pixels of no object. Rename the class, or use --format coco."
        )
    if (number := max(_class_numbers(dataset["categories"]).values(), default=0)) >= VOID:
        raise ValueError(
            f"Expected at most {VOID - 1} classes for --format voc-png, whose pixels have 8 bits, "
            f"but got {number}. Use --format coco."
        )
    labels = {category["id"]: category["name"] for category in dataset["categories"]}
    counts = Counter(
        a["image_id"]
        for a in dataset["annotations"]
        if not is_ignored(a) and (has_mask(a) or is_asked(a, labels, classes))
    )
    for image in dataset["images"]:
        if (number := counts[image["id"]]) >= VOID:
            raise ValueError(
                f"Expected at most {VOID - 1} objects per image for --format voc-png, whose pixels "
                f"have 8 bits, but image '{image['file_name']}' has {number}. Cut the image into "
                "tiles, or use --format coco."
            )


def write_voc_png(out: Path, dataset: Json) -> list[str]:
    """Write the folder; see :func:`check_voc_png` for the limits.

    Args:
        out: folder to create.
        dataset: a COCO json with masks. Categories have VOC's numbers if all are classes of VOC,
            and are numbered from 1 in their order otherwise.

    Returns:
        Sentences for the user.
    """
    numbers = _class_numbers(dataset["categories"])
    images = labelled_images(dataset)
    hidden = 0
    with new_folder(out) as folder:
        for image in images:
            indices, classes = index_maps(image, numbers)
            hidden += len(image.objects) - len(np.setdiff1d(indices, (0, VOID)))
            path = relative_path(image.file_name).with_suffix(".png")
            _write_png(folder / "SegmentationObject" / path, indices)
            _write_png(folder / "SegmentationClass" / path, classes)
        names = [relative_path(image.file_name).with_suffix("").as_posix() for image in images]
        lists = folder / "ImageSets" / "Segmentation"
        lists.mkdir(parents=True)
        _write_lines(lists / "train.txt", names)
        _write_lines(folder / "class_names.txt", _class_names(dataset["categories"]))
    notes = []
    if missing := len(dataset["images"]) - len(images):
        notes.append(f"Left out: {count(missing, 'image')} whose boxes have no mask.")
    if hidden:
        notes.append(f"Without a pixel: {count(hidden, 'object')} that smaller objects cover.")
    return notes


def index_maps(image: LabelledImage, numbers: Mapping[Any, int]) -> tuple[np.ndarray, np.ndarray]:
    """Paint the masks of an image, the largest first.

    Args:
        image: the image, with at most 254 objects.
        numbers: numbers of the classes by the ids of the categories.

    Returns:
        ``(H, W)`` uint8 numbers of the objects and of their classes; 0 is background, 255 is void.
    """
    indices, classes = np.zeros((2, *image.size), np.uint8)
    for annotation in image.ignored:
        indices[decode_rle(image.rle(annotation))] = VOID
    classes[indices == VOID] = VOID
    codes = [image.rle(annotation) for annotation in image.objects]
    for index in np.argsort([-float(coco_mask.area(code)) for code in codes], kind="stable"):
        mask = decode_rle(codes[index])
        indices[mask] = index + 1
        classes[mask] = numbers[image.objects[index]["category_id"]]
    return indices, classes


def _class_numbers(categories: list[Json]) -> dict[Any, int]:
    names = _class_names(categories)
    if names[1:] == list(VOC_CLASSES):
        return {category["id"]: names.index(category["name"]) for category in categories}
    return {category["id"]: number for number, category in enumerate(categories, 1)}


def _class_names(categories: list[Json]) -> list[str]:
    """Return the names of all numbers, from 0, the background."""
    names = [category["name"] for category in categories]
    return [_BACKGROUND, *(VOC_CLASSES if set(names) <= set(VOC_CLASSES) else names)]


def _write_png(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(values)
    image.putpalette(voc_colours().tobytes())
    image.save(path)


def _write_lines(path: Path, lines: list[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
