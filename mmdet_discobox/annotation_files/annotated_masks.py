"""Segmentations and areas of a COCO json that make sense.

Tools and converters write empty lists, single points, flat lists or the run lengths of another
image where they have no mask, and the area of the box, of the image, 0 or 1 where they do not know
the object's. pycocotools fails on some, and computes with the others.
"""

from __future__ import annotations

from typing import Any

from pycocotools import mask as mask_utils

from mmdet_discobox.utils.rle import run_lengths, to_rle

from .coco_values import MAX_PIXELS, is_number

#: largest relative difference of an annotated area from the pixels of the mask
_AREA_TOLERANCE = 0.1


def sensible_mask(segmentation: Any, *, height: int, width: int) -> Any:
    """Return a segmentation if it is a mask of an image of this size, else None.

    Args:
        segmentation: value of the json.
        height: height of the image in pixels.
        width: width of the image in pixels.

    Returns:
        The polygons of at least three points, as pycocotools needs them, or run lengths that cover
        the image. None stands for "no mask", which is also one without a pixel.
    """
    if isinstance(segmentation, list):
        limit = 2 * max(height, width)
        polygons = [each for each in segmentation if _is_polygon(each, limit)]
        if not polygons or not mask_utils.area(to_rle(polygons, height=height, width=width)):
            return None
        return segmentation if len(polygons) == len(segmentation) else polygons
    if not isinstance(segmentation, dict) or segmentation.get("size") != [height, width]:
        return None
    lengths = run_lengths(segmentation.get("counts"))
    if lengths is None or lengths.sum() != height * width or not lengths[1::2].any():
        return None
    whole = all(type(side) is int for side in segmentation["size"])
    return segmentation if whole else {**segmentation, "size": [height, width]}


def object_area(annotation: dict[str, Any], *, height: int, width: int) -> float:
    """Return the area of an object in pixels.

    The annotated ``area`` counts if it can be the object's. With a mask, it then differs from the
    mask's pixels by at most 10 % and the rounding at the border; COCO's own areas of crowds differ
    by more and are kept. Without a mask, it is at most that of the box, and at least half a pixel
    in each of its rows or columns, which all contain the object.

    Args:
        annotation: annotation with a valid ``bbox`` and without a senseless ``segmentation``.
        height: height of the image in pixels.
        width: width of the image in pixels.

    Returns:
        The annotated area, else the area of the mask, else that of the box.
    """
    area: Any = annotation.get("area")
    sides = annotation["bbox"][2:]
    known = is_number(area) and 0 < area <= MAX_PIXELS
    segmentation = annotation.get("segmentation")
    if segmentation is None or (annotation.get("iscrowd") and known):
        low, high = max(sides) / 2, (sides[0] + 1) * (sides[1] + 1)
        if known and low <= area <= high:
            return float(area)
        if segmentation is None:
            return float(sides[0] * sides[1])
    pixels = float(mask_utils.area(to_rle(segmentation, height=height, width=width)))
    if known and abs(area - pixels) <= _AREA_TOLERANCE * pixels + sum(sides):
        return float(area)
    return pixels or float(sides[0] * sides[1])


def _is_polygon(points: Any, limit: float) -> bool:
    """Return whether a list has three points, none of which is far outside the image."""
    return (
        isinstance(points, list)
        and len(points) >= 6
        and len(points) % 2 == 0
        and all(is_number(value) and abs(value) <= limit for value in points)
    )
