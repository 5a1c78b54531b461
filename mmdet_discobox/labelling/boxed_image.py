"""An image with its boxes, and the mask of one box."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from mmdet_discobox.structures import BoxObjects


@dataclass(frozen=True)
class BoxedImage:
    """An image to label.

    Attributes:
        pixels: ``(H, W, 3)`` uint8 BGR, as mmdet loads an image.
        boxes: ``(G, 4)`` ``(x1, y1, x2, y2)`` in pixels; they may reach past the image.
        classes: names of the G classes.
        image_id: id in the data set, a number or a name, under which the object bank stores the
            objects of the image; -1 if unknown.
    """

    pixels: np.ndarray
    boxes: np.ndarray
    classes: Sequence[str]
    image_id: int | str = -1

    def __post_init__(self) -> None:
        pixels, boxes = np.shape(self.pixels), np.shape(self.boxes)
        if len(pixels) != 3 or pixels[2] != 3 or 0 in pixels:
            raise ValueError(f"Expected `pixels` to have the shape (H, W, 3) but got {pixels}.")
        if len(boxes) != 2 or boxes[1] != 4 or boxes[0] != len(self.classes):
            raise ValueError(
                f"Expected `boxes` of the shape (G, 4) and as many `classes` but got {boxes} and "
                f"{len(self.classes)} classes."
            )

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
