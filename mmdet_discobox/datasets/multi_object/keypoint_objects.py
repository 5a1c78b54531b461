"""Read the objects of a COCO key-point json."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.logging import print_log

from mmdet_discobox.annotation_files.coco_reading import read_coco
from mmdet_discobox.annotation_files.coco_values import FLAGS, is_set
from mmdet_discobox.utils.types import Json

from .objects import KeypointObjects


def read_coco_keypoints(path: str | Path, *, min_visibility: int = 2) -> KeypointObjects:
    """Read boxes and visible key points; COCO has no orientations.

    Crowds (``iscrowd`` or ``ignore``) are skipped, and so are objects whose box has no area inside
    the image, with a warning: they have neither features nor a score. Objects without key points
    belong to no pair, but are kept, because detections of them must not be assigned to their
    neighbours.

    Args:
        path: A COCO json whose annotations have ``keypoints``, ``[x1, y1, v1, x2, ...]``.
        min_visibility: smallest ``v`` of a visible key point. COCO has 1 for "annotated, but
            hidden" and 2 for "visible"; the paper ignores hidden ones.

    Returns:
        The objects; their classes are the categories in the order of the json.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is not a COCO json, or has no usable key points.
    """
    content = read_coco(path, masks=False)
    images = {image["id"]: place for place, image in enumerate(content["images"])}
    categories = {category["id"]: place for place, category in enumerate(content["categories"])}
    annotations = [item for item in content["annotations"] if not is_set(item, *FLAGS)]
    lengths = _num_keypoints(content["categories"], annotations, str(path))
    annotations = _with_area(annotations, content["images"], str(path))
    records = [
        {
            "image": images[item["image_id"]],
            "label": categories[item["category_id"]],
            "box": _corners(item["bbox"]),
            "keypoints": _visible_points(item, min_visibility),
            "rotation": None,
        }
        for item in annotations
    ]
    return KeypointObjects.from_records(
        records,
        images=[image["file_name"] for image in content["images"]],
        classes=[category["name"] for category in content["categories"]],
        num_keypoints=max(lengths.values()),
    )


def _num_keypoints(categories: list[Json], annotations: list[Json], name: str) -> Mapping[Any, int]:
    """Validate the key points of all annotations and return their number for each category."""
    lengths = {item["id"]: len(item["keypoints"]) for item in categories if item.get("keypoints")}
    for item in annotations:
        values = item.get("keypoints") or []
        if not values:
            continue
        expected = 3 * lengths.setdefault(item["category_id"], len(values) // 3)
        numbers = isinstance(values, list) and all(isinstance(v, (int, float)) for v in values)
        if not numbers or len(values) != expected or not np.isfinite(values).all():
            raise ValueError(
                f"Expected `keypoints` of annotation {item['id']!r} in '{name}' to be {expected} "
                f"numbers [x1, y1, v1, x2, ...], as in the other objects of category "
                f"{item['category_id']!r}, but got {str(values)[:80]}. Fix or drop the annotation."
            )
    if not lengths:
        raise ValueError(
            f"Expected '{name}' to have objects with `keypoints`, but found none. "
            "Use a COCO key-point json (person_keypoints_*.json, not instances_*.json)."
        )
    return lengths


def _with_area(annotations: list[Json], images: list[Json], name: str) -> list[Json]:
    """Remove objects whose box has no area after conversion to float32 and clipping."""
    sizes = {image["id"]: (image["width"], image["height"]) for image in images}
    limits = np.array([sizes[item["image_id"]] for item in annotations], np.float32).reshape(-1, 2)
    boxes = np.array([_corners(item["bbox"]) for item in annotations], np.float32).reshape(-1, 4)
    low, high = boxes[:, :2].clip(0), np.minimum(boxes[:, 2:], limits)
    kept = [annotations[place] for place in np.flatnonzero((low < high).all(axis=1))]
    if len(kept) < len(annotations):
        print_log(
            f"'{name}': of {len(annotations)} objects, {len(annotations) - len(kept)} are skipped, "
            "because their box has no area inside the image.",
            logger="current",
            level=logging.WARNING,
        )
    return kept


def _corners(bbox: list[float]) -> tuple[float, float, float, float]:
    x, y, width, height = bbox
    return (x, y, x + width, y + height)


def _visible_points(item: Json, min_visibility: int) -> dict[int, tuple[float, float]]:
    values = item.get("keypoints") or []
    points = enumerate(zip(values[0::3], values[1::3], values[2::3], strict=True))
    return {number: (x, y) for number, (x, y, v) in points if v >= min_visibility}
