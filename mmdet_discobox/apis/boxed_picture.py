"""A picture with its boxes, and the mask of one of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from mmdet_discobox.structures import BoxObjects


@dataclass(frozen=True)
class BoxedPicture:
    """What :class:`AutoLabeler` labels.

    Attributes:
        image: ``(H, W, 3)`` uint8 BGR, as mmdet loads it.
        boxes: ``(G, 4)`` ``(x1, y1, x2, y2)`` in pixels; they may reach past the picture.
        classes: names of the G classes.
        image_id: id in the data set, a number or a name, by which the object bank knows the
            picture; -1 if unknown.
    """

    image: np.ndarray
    boxes: np.ndarray
    classes: Sequence[str]
    image_id: int | str = -1

    def __post_init__(self) -> None:
        image, boxes = np.shape(self.image), np.shape(self.boxes)
        if len(image) != 3 or image[2] != 3 or 0 in image:
            raise ValueError(f"Expected `image` to have the shape (H, W, 3) but got {image}.")
        if len(boxes) != 2 or boxes[1] != 4 or boxes[0] != len(self.classes):
            raise ValueError(
                f"Expected `boxes` of the shape (G, 4) and as many `classes` but got {boxes} and "
                f"{len(self.classes)} classes."
            )

    def objects(self, labels: Sequence[int]) -> BoxObjects:
        """The boxes as the structured teacher wants them, clipped to the picture.

        Args:
            labels: class indices of the G boxes.
        """
        height, width = self.image.shape[:2]
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
        origin: ``(x, y)`` of the window's first pixel in the picture.
        quality: in [0, 1], predicts the IoU with the true mask.
        predicted: whether a network had a mask for the box; otherwise it comes from colours alone.
    """

    window: np.ndarray
    origin: tuple[int, int]
    quality: float
    predicted: bool

    def full(self, size: tuple[int, int]) -> np.ndarray:
        """The mask in a picture of ``(height, width)``, boolean."""
        mask = np.zeros(size, dtype=bool)
        (x, y), (height, width) = self.origin, self.window.shape
        mask[y : y + height, x : x + width] = self.window
        return mask
