"""Records of the labelling: an image with its boxes, the mask of a box, an image of a json."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from mmdet_discobox.structures import BoxObjects
from mmdet_discobox.utils.images import read_image
from mmdet_discobox.utils.types import Json

from .mask_encoding import encode_window


class UnusableImageError(ValueError):
    """An image that the labeller's pipeline cannot take."""


@dataclass(frozen=True)
class BoxedImage:
    """An image to label.

    Attributes:
        pixels: ``(H, W, 3)`` uint8 BGR, as mmdet loads an image.
        boxes: ``(G, 4)`` ``(x1, y1, x2, y2)`` in pixels, an array, a tensor or
            lists of numbers; they may reach past the image.
        classes: names of the G classes.
        image_id: id in the data set, a number or a name, under which the object bank stores the
            objects of the image; -1 if unknown.
    """

    pixels: np.ndarray
    boxes: np.ndarray
    classes: Sequence[str]
    image_id: int | str = -1

    def __post_init__(self) -> None:
        boxes = self.boxes
        if isinstance(boxes, torch.Tensor):
            boxes = boxes.detach().float().cpu().numpy()
        corners = np.asarray(boxes, np.float32)
        corners = corners if corners.size else corners.reshape(-1, 4)
        object.__setattr__(self, "boxes", corners)  # frozen
        pixels, shape = np.shape(self.pixels), corners.shape
        if len(pixels) != 3 or pixels[2] != 3 or 0 in pixels:
            raise ValueError(f"Expected `pixels` to have the shape (H, W, 3) but got {pixels}.")
        if len(shape) != 2 or shape[1] != 4 or shape[0] != len(self.classes):
            raise ValueError(
                f"Expected `boxes` of the shape (G, 4) and as many `classes` but got {shape} and "
                f"{len(self.classes)} classes."
            )
        if not np.isfinite(corners).all():
            raise ValueError("Expected `boxes` of finite numbers but got NaN or infinity.")

    def objects(self, labels: Sequence[int]) -> BoxObjects:
        """Return the boxes as objects for the structured teacher, clipped to the image.

        Args:
            labels: class indices of the G boxes.
        """
        height, width = self.pixels.shape[:2]
        boxes = np.asarray(self.boxes, dtype=np.float32).clip(0, [width, height] * 2)
        sample = DetDataSample(metainfo=dict(img_shape=(height, width), img_id=self.image_id))
        sample.gt_instances = InstanceData(
            bboxes=torch.from_numpy(boxes.astype(np.float32)),
            labels=torch.tensor(labels, dtype=torch.long),
        )
        return BoxObjects.from_samples([sample])  # as in training, so that ids are the bank's


@dataclass(frozen=True)
class BoxMask:
    """The mask of one box.

    Attributes:
        window: ``(h, w)`` boolean, pixels of the box's window; all others are background.
        origin: ``(x, y)`` of the window's first pixel in the image.
        quality: in [0, 1], predicts the IoU with the true mask.
        predicted: whether a network predicted a mask for the box; if not, the mask comes from
            colours alone.
    """

    window: np.ndarray
    origin: tuple[int, int]
    quality: float
    predicted: bool

    def full(self, size: tuple[int, int]) -> np.ndarray:
        """Return the boolean mask on an image of ``(height, width)``."""
        mask = np.zeros(size, dtype=bool)
        (x, y), (height, width) = self.origin, self.window.shape
        mask[y : y + height, x : x + width] = self.window
        return mask


@dataclass(frozen=True)
class ImageTask:
    """The records of an image and its boxes in a COCO json, without the crowds that have a mask.

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
                    segmentation=encode_window(mask.window, mask.origin, size),
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
