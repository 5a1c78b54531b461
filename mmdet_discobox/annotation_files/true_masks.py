"""True masks in a COCO json of boxes: which annotations have one, and which are unusable."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from mmdet_discobox.utils.rle import run_lengths, to_rle
from mmdet_discobox.utils.types import Json

from .coco_records import Problem, locate_annotation
from .coco_values import quote

#: values of ``mask_source``
PERSON, MACHINE = "person", "machine"
#: IoU of the box of a mask with its annotated box below which they disagree
MIN_BOX_IOU = 0.5
_FIX = "Draw the mask again, or remove `segmentation` to keep the box alone"


def mask_source(annotation: Json) -> str | None:
    """Return who made the mask of an annotation, None for an annotation without a mask.

    ``mask_source`` decides if it is given. Otherwise a mask with a ``mask_quality`` is an
    auto-label, and any other was drawn by a person. Crowds mark regions and have no mask.
    """
    if annotation.get("iscrowd") or not annotation.get("segmentation"):
        return None
    default = MACHINE if "mask_quality" in annotation else PERSON
    return str(annotation.get("mask_source") or default)


def is_true_mask(annotation: Json, sources: Collection[str] = (PERSON,)) -> bool:
    """Return whether an annotation has a mask of one of the trusted sources."""
    return mask_source(annotation) in sources


def find_mask_problems(
    dataset: Json, *, sources: Collection[str] = (PERSON,), min_box_iou: float = MIN_BOX_IOU
) -> dict[Any, Problem]:
    """Find true masks that cannot be used.

    Args:
        dataset: a COCO json with valid boxes, see :func:`.find_problems`.
        sources: values of ``mask_source`` that count as truth.
        min_box_iou: smallest IoU of the tight box of a mask with its annotated box, both clipped
            to the image.

    Returns:
        Problems by the id of the annotation: a malformed segmentation, a run-length encoding of
        another size or length, an empty mask, a mask outside its box or in disagreement with it.
    """
    images = {image["id"]: image for image in dataset["images"]}
    problems = {}
    for index, annotation in enumerate(dataset["annotations"]):
        if not is_true_mask(annotation, sources):
            continue
        image = images[annotation["image_id"]]
        fault = _fault(annotation, (image["height"], image["width"]), min_box_iou)
        if fault:
            where = locate_annotation(annotation, index, image)
            problems[annotation["id"]] = Problem(where, fault, _FIX)
    return problems


def _fault(annotation: Json, size: tuple[int, int], min_box_iou: float) -> str | None:
    segmentation = annotation["segmentation"]
    if isinstance(segmentation, dict):
        fault = _rle_fault(segmentation, size)
    else:
        fault = _polygon_fault(segmentation, 2 * max(size))
    return fault or _box_fault(annotation, size, min_box_iou)


def _polygon_fault(polygons: Any, limit: int) -> str | None:
    """Find what is no polygon; pycocotools crashes on points far outside the image."""
    if not isinstance(polygons, list) or not all(isinstance(each, list) for each in polygons):
        return f"expected polygons or an RLE in `segmentation`, but got {quote(polygons)}"
    for polygon in polygons:
        numbers = all(type(value) in (int, float) and abs(value) <= limit for value in polygon)
        if not numbers or len(polygon) < 6 or len(polygon) % 2:
            expected = "three or more points [x1, y1, x2, y2, ...] in or near the image"
            return f"expected polygons of {expected}, but got {quote(polygon)}"
    return None


def _rle_fault(rle: Json, size: tuple[int, int]) -> str | None:
    if rle.get("size") != list(size):
        own = f"[height, width] of the image, {list(size)}"
        return f"expected the `size` of the RLE to be {own}, but got {quote(rle.get('size'))}"
    runs = run_lengths(rle.get("counts"))
    if runs is None:
        return f"expected `counts` of the RLE to be run lengths, but got {quote(rle.get('counts'))}"
    if runs.sum() != size[0] * size[1]:
        return f"expected run lengths of {size[0] * size[1]} pixels, but got {runs.sum()}"
    return None


def _box_fault(annotation: Json, size: tuple[int, int], min_box_iou: float) -> str | None:
    """Compare the tight box of a mask with the annotated box."""
    rle = to_rle(annotation["segmentation"], height=size[0], width=size[1])
    if not coco_mask.area(rle):
        return "the mask is empty"
    tight = _clip(coco_mask.toBbox(rle).tolist(), size)
    box = _clip(annotation["bbox"], size)
    # the whole pixels of a thin box overlap it little, but end where it ends
    near = max(abs(one - other) for one, other in zip(tight, box, strict=True)) <= 1
    iou = _iou(tight, box)
    if near or iou >= min_box_iou:
        return None
    relation = f"disagrees with its box (IoU {iou:.2f})" if iou else "lies outside its box"
    box = [round(side, 1) for side in (*tight[:2], tight[2] - tight[0], tight[3] - tight[1])]
    return f"the mask {relation}: its own is {box}, `bbox` is {quote(annotation['bbox'])}"


def _clip(box: list[float], size: tuple[int, int]) -> list[float]:
    """Convert ``[x, y, width, height]`` to corners in the image."""
    x, y, width, height = box
    limits = (size[1], size[0], size[1], size[0])
    corners = (x, y, x + width, y + height)
    return [min(max(side, 0), limit) for side, limit in zip(corners, limits, strict=True)]


def _iou(one: list[float], other: list[float]) -> float:
    """Compute the IoU of two boxes; sides below a pixel count as one, as masks have whole ones."""
    low, high = np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])
    areas = [max(box[2] - box[0], 1) * max(box[3] - box[1], 1) for box in (one, other)]
    overlap = float((high - low).clip(0).prod())
    return overlap / (sum(areas) - overlap)
