"""Folders with the layout of COCO 2017: a tiny one, and one that gives back built folders."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as coco_mask

CATEGORIES = [
    {"supercategory": "person", "id": 1, "name": "person"},
    {"supercategory": "animal", "id": 18, "name": "dog"},
    {"supercategory": "animal", "id": 20, "name": "sheep"},
]
#: what the tiny folder is asked for; image 3 and annotations 71 and 31 are not
IDS = {
    "persons": {
        "split": "val2017",
        "train": {"images": [8, 7], "annotations": [70, 80]},
        "val": {"images": [9], "annotations": [90]},
    },
    "coco_mini": {
        "split": "train2017",
        "images": [5, 6],
        "first_annotation_ids": [16, 19],
        "annotation_counts": [3, 0],
    },
    "animals": {"val_masks": [5]},
}


def image(image_id: int, width: int, height: int, **fields: Any) -> dict[str, Any]:
    record = {"license": 4, "file_name": f"{image_id:012}.jpg", "coco_url": "http://"}
    return {**record, "height": height, "width": width, "id": image_id, **fields}


def annotation(annotation_id: int, image_id: int, category_id: int, **fields: Any) -> dict:
    """An official annotation with the keys in the official order."""
    polygon = [1.5, 2.25, 11.5, 2.25, 11.5, 12.25]
    record = {"segmentation": [polygon], "area": 50.0, "iscrowd": 0, "image_id": image_id}
    return {**record, "bbox": [1.5, 2.25, 10, 10], "category_id": category_id,
            "id": annotation_id, **fields}  # fmt: skip


def write_split(
    coco: Path,
    name: str,
    images: list[dict[str, Any]],
    annotations: list[dict[str, Any]],
    categories: list[dict[str, Any]] = CATEGORIES,
) -> None:
    """Write the json of a split, beside an empty folder of images."""
    content = {"info": {}, "licenses": [], "images": images, "annotations": annotations}
    for folder in (coco / "annotations", coco / name):
        folder.mkdir(parents=True, exist_ok=True)
    path = coco / "annotations" / f"instances_{name}.json"
    path.write_text(json.dumps({**content, "categories": categories}))


def write_noise(folder: Path, images: Iterable[dict[str, Any]]) -> None:
    """Write images of noise under the names and sizes of their records."""
    for record in images:
        size = record["height"], record["width"], 3
        noise = np.random.default_rng(record["id"]).integers(0, 256, size, dtype=np.uint8)
        cv2.imwrite(str(folder / record["file_name"]), noise)


def write_tiny_coco(coco: Path) -> None:
    """Write the folder that `IDS` selects from."""
    triangle = [100.01, 213.5, 420.01, 427, 100.01, 427]
    crowd = {"size": [30, 40], "counts": [60, 30, 1110]}  # the third column
    val_images = [image(3, 20, 20), image(7, 640, 427), image(8, 300, 200), image(9, 300, 600)]
    write_split(coco, "val2017", val_images, [
        annotation(31, 3, 1),
        annotation(71, 7, 1),
        annotation(70, 7, 1, segmentation=[triangle], area=34160, bbox=[100.01, 213.5, 320, 213.5]),
        annotation(80, 8, 1, area=1234.5678),
        annotation(90, 9, 1),
    ])  # fmt: skip
    train_images = [image(3, 20, 20), image(6, 50, 50), image(5, 40, 30)]
    write_split(coco, "train2017", train_images, [
        annotation(50, 5, 18),
        annotation(30, 3, 18),
        annotation(20, 5, 1),
        annotation(902000000005, 5, 20, segmentation=crowd, area=33, iscrowd=1, bbox=[2, 0, 1, 30]),
    ])  # fmt: skip
    write_noise(coco / "val2017", val_images)
    write_noise(coco / "train2017", train_images)


def write_inverted_persons(coco: Path, contents: list[dict[str, Any]]) -> None:
    """Write a val2017 whose objects shrink to those of `persons`, with objects to leave out.

    The official sizes are unknown: a long side of 512 px is taken for one of 640 px. Annotations
    come in the order of their ids. The image files are empty.
    """
    images, annotations = [image(1, 640, 480)], [annotation(1, 1, 1)]
    for content in contents:
        sizes = {}
        for record in content["images"]:
            size, official = (record["width"], record["height"]), record
            if max(size) == 512:
                width, height = (round(side / 0.8) for side in size)
                official = {**record, "width": width, "height": height}
            images.append(image(**_arguments(official), license=record["license"]))
            scale = size[0] / official["width"], size[1] / official["height"]
            sizes[record["id"]] = scale
            annotations.append(annotation(10**7 + record["id"], record["id"], 18))
        annotations += [_grown(a, sizes[a["image_id"]]) for a in content["annotations"]]
    annotations.sort(key=lambda a: a["id"])
    write_split(coco, "val2017", images, annotations)
    _touch(coco / "val2017", images)


def write_inverted_coco_mini(coco: Path, content: dict[str, Any]) -> None:
    """Write a train2017 with the objects of `coco_mini` under other ids, and others to leave out.

    The objects of an image keep their order. The image files are empty.
    """
    images = [image(**_arguments(i), license=i["license"]) for i in content["images"]]
    images.append(image(1, 640, 480))
    annotations = [annotation(1, 1, 18)]
    for record in content["annotations"]:
        segmentation = record["segmentation"]
        if isinstance(segmentation, dict):
            segmentation = {"size": segmentation["size"], "counts": _run_lengths(segmentation)}
        ids = {"id": 7 * record["id"], "segmentation": segmentation}
        annotations.append({**record, **ids})
    write_split(coco, "train2017", images[::-1], annotations, content["categories"])
    _touch(coco / "train2017", images)


def _arguments(record: dict[str, Any]) -> dict[str, Any]:
    return {"image_id": record["id"], "width": record["width"], "height": record["height"]}


def _grown(record: dict[str, Any], scale: tuple[float, float]) -> dict[str, Any]:
    def grow(coordinates: list[float]) -> list[float]:
        return [value / scale[index % 2] for index, value in enumerate(coordinates)]

    polygons = [grow(polygon) for polygon in record["segmentation"]]
    area = record["area"] / (scale[0] * scale[1])
    return {**record, "bbox": grow(record["bbox"]), "segmentation": polygons, "area": area}


def _run_lengths(compressed: dict[str, Any]) -> list[int]:
    """Run lengths of a mask, column by column, the first of zeros."""
    values = coco_mask.decode(compressed).ravel(order="F")
    ends = np.flatnonzero(np.diff(values)) + 1
    bounds = [0, *([0] if values[0] else []), *ends, values.size]
    return np.diff(bounds).tolist()


def _touch(folder: Path, images: Iterable[dict[str, Any]]) -> None:
    for record in images:
        (folder / record["file_name"]).touch()
