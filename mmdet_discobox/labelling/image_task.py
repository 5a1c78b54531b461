"""One image of a data set: from its records to boxes, and from masks to a record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmdet_discobox.datasets.images import read_image
from mmdet_discobox.utils.types import Json

from .boxed_image import BoxedImage, BoxMask
from .mask_encoding import encode_rle


@dataclass(frozen=True)
class ImageTask:
    """An image and its boxes without a mask.

    Attributes:
        image: record of the image.
        annotations: records of the boxes.
        names: names of the classes by their ids.
    """

    image: Json
    annotations: list[Json]
    names: Mapping[Any, str]

    def read(self, image_dir: Path) -> BoxedImage:
        """Read the image, with those of its boxes that have an area inside it.

        Raises:
            FileNotFoundError: if the file is missing.
            ValueError: if the file is no image, or its size is not the size in the record.
        """
        size = (self.image["width"], self.image["height"])
        pixels = read_image(image_dir / self.image["file_name"], size=size)
        boxes = np.array([a["bbox"] for a in self.usable], dtype=float).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        classes = [self.names[a["category_id"]] for a in self.usable]
        return BoxedImage(pixels, boxes, classes, self.image["id"])

    @property
    def usable(self) -> list[Json]:
        """Records of the boxes with an area inside the image."""
        return [a for a in self.annotations if self._is_inside(a["bbox"])]

    def _is_inside(self, box: list[float]) -> bool:
        x, y, width, height = box
        return (
            width > 0 and height > 0
            and min(x + width, self.image["width"]) - max(x, 0) > 0
            and min(y + height, self.image["height"]) - max(y, 0) > 0
        )  # fmt: skip

    def record(self, image: BoxedImage, masks: Iterable[BoxMask]) -> Json:
        """Return the record of the labelled image: masks by the ids of the boxes, and failures."""
        size = image.pixels.shape[:2]
        return dict(
            masks=[
                dict(
                    id=annotation["id"],
                    segmentation=encode_rle(mask.full(size)),
                    quality=round(mask.quality, 4),
                    predicted=mask.predicted,
                )
                for annotation, mask in zip(self.usable, masks, strict=True)
            ],
            failed=[
                dict(id=a["id"], reason=f"its box {a['bbox']} has no area inside the image")
                for a in self.annotations
                if not self._is_inside(a["bbox"])
            ],
        )

    def failure(self, reason: str) -> Json:
        """Return the record of an image that could not be read; the next run tries it again."""
        failed = [dict(id=a["id"], reason=reason) for a in self.annotations]
        return dict(masks=[], failed=failed, unread=True)
