"""One picture of a data set: from its records to boxes, and from masks to a record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmdet_discobox.datasets.coco_records import Json
from mmdet_discobox.datasets.images import read_image

from .boxed_picture import BoxedPicture, BoxMask
from .mask_encoding import encode_rle


@dataclass(frozen=True)
class PictureTask:
    """A picture and the boxes that want a mask.

    Attributes:
        image: its record.
        annotations: records of the boxes.
        names: of the classes by their ids.
    """

    image: Json
    annotations: list[Json]
    names: Mapping[Any, str]

    def read(self, image_dir: Path) -> BoxedPicture:
        """Read the picture, with those of its boxes that have an area inside it.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if it is no picture, or of another size than its record says.
        """
        size = (self.image["width"], self.image["height"])
        pixels = read_image(image_dir / self.image["file_name"], size=size)
        boxes = np.array([a["bbox"] for a in self.usable], dtype=float).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        classes = [self.names[a["category_id"]] for a in self.usable]
        return BoxedPicture(pixels, boxes, classes, self.image["id"])

    @property
    def usable(self) -> list[Json]:
        """Boxes with an area inside the picture."""
        return [a for a in self.annotations if self._is_inside(a["bbox"])]

    def _is_inside(self, box: list[float]) -> bool:
        x, y, width, height = box
        return (
            width > 0 and height > 0
            and min(x + width, self.image["width"]) - max(x, 0) > 0
            and min(y + height, self.image["height"]) - max(y, 0) > 0
        )  # fmt: skip

    def record(self, picture: BoxedPicture, masks: Iterable[BoxMask]) -> Json:
        """What to remember of the picture: masks by the ids of their boxes, and what failed."""
        size = picture.image.shape[:2]
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
                dict(id=a["id"], reason=f"its box {a['bbox']} has no area inside the picture")
                for a in self.annotations
                if not self._is_inside(a["bbox"])
            ],
        )

    def failure(self, reason: str) -> Json:
        """The record of a picture that could not be read: it is tried again, see ``unread``."""
        failed = [dict(id=a["id"], reason=reason) for a in self.annotations]
        return dict(masks=[], failed=failed, unread=True)
