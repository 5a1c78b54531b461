"""Labelled data sets without image content, for the tests of the formats."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from mmdet_discobox.labelling.mask_encoding import encode_rle

HEIGHT, WIDTH = 90, 120
Json = dict[str, Any]


def disc(x: int, y: int, radius: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.circle(mask, (x, y), radius, 1, -1)
    return mask > 0


def blobs(seed: int, parts: int) -> np.ndarray:
    """A mask of several parts, some of which touch."""
    rng = np.random.default_rng(seed)
    places = rng.integers((15, 15), (WIDTH - 15, HEIGHT - 15), (parts, 2))
    return np.any([disc(int(x), int(y), int(rng.integers(4, 15))) for x, y in places], axis=0)


def annotated(mask: np.ndarray, image_id: int = 1, category_id: int = 7, **fields: Any) -> Json:
    ys, xs = np.nonzero(mask)
    box = [xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1]
    return dict(
        image_id=image_id,
        category_id=category_id,
        bbox=[float(value) for value in box],
        segmentation=encode_rle(mask),
        area=float(mask.sum()),
        iscrowd=0,
        **fields,
    )


def labelled_set(annotations: list[Json], names: list[str] | None = None) -> Json:
    """Number the annotations; images have ids from 1, and the classes 7 (cat) and 3 (dog)."""
    return dict(
        images=[
            dict(id=index, file_name=name, height=HEIGHT, width=WIDTH)
            for index, name in enumerate(names or ["a.jpg"], 1)
        ],
        annotations=[dict(each, id=index) for index, each in enumerate(annotations, 1)],
        categories=[dict(id=7, name="cat"), dict(id=3, name="dog")],
    )


def write_images(folder: Any, dataset: Json) -> None:
    for image in dataset["images"]:
        path = folder / image["file_name"]
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.full((HEIGHT, WIDTH, 3), 90, np.uint8))
