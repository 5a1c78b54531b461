"""A small COCO json with every kind of box that has to work, for the tests of the readers."""

from __future__ import annotations

from typing import Any

CLASSES = ("cat", "dog")
WIDTH, HEIGHT = 48, 32

Json = dict[str, Any]


def annotation(ann_id: int, image_id: int, bbox: Any, **fields: Any) -> Json:
    return {"id": ann_id, "image_id": image_id, "category_id": 7, "bbox": bbox, **fields}


def coco(annotations: list[Json]) -> Json:
    names = ["first.png", "folder/second.png", "third.png", "empty.png"]
    images = [
        {"id": index + 1, "file_name": name, "width": WIDTH, "height": HEIGHT}
        for index, name in enumerate(names)
    ]
    categories = [{"id": 7, "name": "cat"}, {"id": 3, "name": "dog"}]
    return {"images": images, "annotations": annotations, "categories": categories}


GOOD = [
    annotation(1, 1, [4, 6, 20, 10]),
    annotation(2, 1, [10.5, 3.5, 8.0, 8.0], category_id=3),
    annotation(3, 2, [-5, -5, 20, 20]),
    annotation(4, 2, [40, 20, 100, 100]),
    annotation(5, 3, [7, 9, 1, 1]),
    annotation(6, 3, [0, 0, WIDTH, HEIGHT], iscrowd=1),
    annotation(7, 3, [2, 2, 9, 9], ignore=1),
]
