"""Turns official COCO records into those of the folders: scaled, rounded, and with fewer fields.

Coordinates and areas are rounded to two decimals; official areas have more.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from coco_files import Json, Size
from pycocotools import mask as coco_mask

LONG_SIDE = 512
BOX_KEYS = ("id", "image_id", "category_id", "bbox", "iscrowd")


def official_size(image: Json) -> Size:
    """Read the height and width of an official image record."""
    return image["height"], image["width"]


def shrink(size: Size) -> Size:
    """Scale a size down so that its long side is at most 512 px."""
    ratio = min(1.0, LONG_SIDE / max(size))
    return max(1, round(size[0] * ratio)), max(1, round(size[1] * ratio))


def image_record(image: Json, size: Size) -> Json:
    """Keep the fields of an official image record that the folders have."""
    return {
        "id": image["id"],
        "file_name": image["file_name"],
        "height": size[0],
        "width": size[1],
        "license": image["license"],
    }


def mask_record(annotation: Json, *, source_size: Size, size: Size) -> Json:
    """Scale and round an official annotation.

    Args:
        annotation: Official record. Polygons are scaled; run lengths keep their size.
        source_size: height and width of the official image.
        size: height and width of the image to write.
    """
    scale = size[1] / source_size[1], size[0] / source_size[0]  # x, y
    return {
        "id": annotation["id"],
        "image_id": annotation["image_id"],
        "category_id": annotation["category_id"],
        "bbox": _scaled(annotation["bbox"], scale),
        "iscrowd": annotation["iscrowd"],
        "segmentation": _segmentation(annotation["segmentation"], scale),
        "area": _rounded(annotation["area"] * scale[0] * scale[1]),
    }


def without_masks(content: Json) -> Json:
    """Drop `segmentation` and `area` of every annotation."""
    boxes = [{key: a[key] for key in BOX_KEYS} for a in content["annotations"]]
    images, categories = content["images"], content["categories"]
    return {"images": images, "categories": categories, "annotations": boxes}


def _segmentation(segmentation: Any, scale: tuple[float, float]) -> Any:
    if isinstance(segmentation, list):
        return [_scaled(polygon, scale) for polygon in segmentation]
    height, width = segmentation["size"]
    encoded = coco_mask.frPyObjects(segmentation, height, width)
    return {"size": [height, width], "counts": encoded["counts"].decode()}


def _scaled(coordinates: Iterable[float], scale: tuple[float, float]) -> list[float]:
    """Scale numbers that alternate between x and y."""
    return [_rounded(value * scale[index % 2]) for index, value in enumerate(coordinates)]


def _rounded(value: float) -> float:
    return round(float(value), 2)
