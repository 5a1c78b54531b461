"""Large images put together from annotated photographs, for the benchmark of tiles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

#: grey of the pixels that no photograph covers
_GREY = 114


@dataclass
class Canvas:
    """A large image.

    Attributes:
        pixels: ``(H, W, 3)`` BGR.
        annotations: annotations of COCO in its coordinates, with masks as run lengths.
    """

    pixels: np.ndarray
    annotations: list[dict[str, Any]] = field(default_factory=list)


def build_canvases(
    dataset: COCO, image_dir: Path, classes: Sequence[str], *, size: tuple[int, int]
) -> Iterator[Canvas]:
    """Place photographs in rows, in their own resolution; the last canvas may have space left.

    Args:
        dataset: annotations with masks.
        image_dir: folder of the images.
        classes: names of the classes whose objects are kept; label i is ``classes[i]``.
        size: width and height of a canvas in pixels.
    """
    width, height = size
    labels = {dataset.getCatIds(catNms=[name])[0]: i for i, name in enumerate(classes)}
    canvas, x, y, row = _empty(size), 0, 0, 0
    for image_id in sorted(dataset.imgs):
        record = dataset.imgs[image_id]
        w, h = record["width"], record["height"]
        if x + w > width:
            x, y, row = 0, y + row, 0
        if y + h > height:
            yield canvas
            canvas, x, y, row = _empty(size), 0, 0, 0
        canvas.pixels[y : y + h, x : x + w] = cv2.imread(str(image_dir / record["file_name"]))
        for annotation in dataset.imgToAnns[image_id]:
            if annotation["category_id"] in labels:
                label = labels[annotation["category_id"]]
                canvas.annotations.append(_moved(dataset, annotation, label, (x, y), size))
        x, row = x + w, max(row, h)
    yield canvas


def _empty(size: tuple[int, int]) -> Canvas:
    return Canvas(np.full((size[1], size[0], 3), _GREY, np.uint8))


def _moved(
    dataset: COCO,
    annotation: dict[str, Any],
    label: int,
    offset: tuple[int, int],
    size: tuple[int, int],
) -> dict[str, Any]:
    mask = dataset.annToMask(annotation)
    (x, y), (h, w) = offset, mask.shape
    pasted = np.zeros((size[1], size[0]), np.uint8, order="F")
    pasted[y : y + h, x : x + w] = mask
    left, top, box_width, box_height = annotation["bbox"]
    return dict(
        bbox=[left + x, top + y, box_width, box_height],
        segmentation=coco_mask.encode(pasted),
        area=annotation["area"],
        iscrowd=annotation.get("iscrowd", 0),
        category_id=label,
    )
