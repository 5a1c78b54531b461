"""One sample for every box: the crop around it, for the box labeller."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from mmcv.transforms import BaseTransform, Compose
from mmdet.registry import DATASETS, TRANSFORMS
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks
from torch.utils.data import Dataset

from mmdet_discobox.structures import PartialMasks
from mmdet_discobox.utils.types import Json


@DATASETS.register_module()
class BoxCropDataset(Dataset):
    """Wrap a data set of mmdet: one sample for every box that is neither crowd nor ignored.

    Args:
        dataset: a data set of mmdet, or its config, without a pipeline.
        pipeline: transforms of the samples, each of which has a single instance; among them
            :class:`CropBox`.
        mask_repeats: how often an epoch contains each box that has a true mask (mixed supervision).

    Raises:
        ValueError: if the data set has no box, or ``mask_repeats`` is below 1.
    """

    def __init__(self, dataset: Any, pipeline: Sequence[Json] = (), mask_repeats: int = 1) -> None:
        if mask_repeats < 1:
            raise ValueError(f"Expected `mask_repeats` to be at least 1 but got {mask_repeats}.")
        self.mask_repeats = mask_repeats
        self.dataset = DATASETS.build(dataset) if isinstance(dataset, dict) else dataset
        self.pipeline = Compose([TRANSFORMS.build(transform) for transform in pipeline])
        self.full_init()

    @property
    def metainfo(self) -> Json:
        """Meta information of the wrapped data set."""
        info: Json = self.dataset.metainfo
        return info

    def full_init(self) -> None:
        """Find the boxes of the wrapped data set."""
        self.dataset.full_init()
        self._places = [
            (image, index)
            for image in range(len(self.dataset))
            for index, instance in enumerate(self.dataset.get_data_info(image)["instances"])
            if not instance["ignore_flag"]
            for _ in range(self.mask_repeats if instance.get("mask") else 1)
        ]
        if not self._places:
            raise ValueError(
                "Expected boxes to train the labeller on, but the data set has none that is "
                "neither crowd nor ignored."
            )

    def __len__(self) -> int:
        return len(self._places)

    def get_data_info(self, index: int) -> Json:
        """Return the image of a box as mmdet describes it, with this box alone."""
        image, chosen = self._places[index]
        info: Json = self.dataset.get_data_info(image)
        return {**info, "instances": [info["instances"][chosen]], "sample_idx": index}

    def get_cat_ids(self, index: int) -> list[int]:
        """Return the class of a box, for ``ClassBalancedDataset``."""
        return [int(self.get_data_info(index)["instances"][0]["bbox_label"])]

    def __getitem__(self, index: int) -> Any:
        return self.pipeline(self.get_data_info(index))


@TRANSFORMS.register_module()
class CropBox(BaseTransform):
    """Crop the image to its only box and a margin, and warp the crop to a square.

    The crop has whole pixels, so that nothing is interpolated twice; the box is moved exactly. A
    box that reaches past the image is cut off at its border: no object is outside. Pixels outside
    the image are black.

    Required keys: ``img``, ``gt_bboxes`` of one box, and optionally ``gt_masks``. Modified keys:
    these, ``img_shape`` and ``scale_factor``.

    Args:
        size: side of the square in pixels.
        margin: bounds of the margin on each side, a fraction of the box's width or height; each
            side has a random one.
    """

    def __init__(self, size: int = 192, margin: tuple[float, float] = (0.2, 0.2)) -> None:
        if size < 1 or not 0 <= margin[0] <= margin[1]:
            raise ValueError(
                "Expected `size` of at least 1 and `margin` 0 <= low <= high but got "
                f"{size} and {margin}."
            )
        self.size = size
        self.margin = margin

    def transform(self, results: Json) -> Json:
        """Crop image, box and mask."""
        boxes = results["gt_bboxes"]
        if len(boxes) != 1:
            raise ValueError(
                f"Expected one box per sample but got {len(boxes)}. CropBox belongs in the "
                "pipeline of a BoxCropDataset."
            )
        height, width = results["img"].shape[:2]
        box = boxes.numpy()[0].astype(float).clip(0, np.tile([width, height], 2))
        margins = np.random.uniform(*self.margin, 4)  # noqa: NPY002 - mmengine seeds this generator
        window = crop_window(box, margins)
        scale = self.size / (window[2:] - window[:2])
        results["img"] = warp_window(results["img"], window, self.size)
        moved = (box - np.tile(window[:2], 2)) * np.tile(scale, 2)
        results["gt_bboxes"] = HorizontalBoxes(moved[None].astype(np.float32))
        if "gt_masks" in results:
            masks = results["gt_masks"].to_ndarray().astype(np.float32)
            warped = np.stack([warp_window(mask, window, self.size) > 0.5 for mask in masks])
            moved_masks = BitmapMasks(warped.astype(np.uint8), self.size, self.size)
            given = results["gt_masks"]
            partial = isinstance(given, PartialMasks)
            results["gt_masks"] = given.like(moved_masks) if partial else moved_masks
        results["img_shape"] = (self.size, self.size)
        results["scale_factor"] = tuple(scale)
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}(size={self.size}, margin={self.margin})"


def crop_window(box: np.ndarray, margins: np.ndarray) -> np.ndarray:
    """Return the window of whole pixels around a box and its margins.

    Args:
        box: ``(4,)`` ``(x1, y1, x2, y2)``.
        margins: ``(4,)`` of each side, fractions of width or height.

    Returns:
        ``(4,)`` integers, end exclusive; may reach past the image.
    """
    padding = np.tile(box[2:] - box[:2], 2) * margins
    low, high = np.floor(box[:2] - padding[:2]), np.ceil(box[2:] + padding[2:])
    return np.concatenate([low, np.maximum(high, low + 1)]).astype(int)


def warp_window(image: np.ndarray, window: np.ndarray, size: int) -> np.ndarray:
    """Cut a window out of an image and resize it to a square, averaging where it shrinks.

    Args:
        image: ``(H, W)`` or ``(H, W, C)``.
        window: ``(4,)`` ``(x1, y1, x2, y2)`` in whole pixels.
        size: side of the result.

    Returns:
        ``(size, size)`` or ``(size, size, C)``; 0 outside the image.
    """
    x1, y1, x2, y2 = window.tolist()
    height, width = image.shape[:2]
    inner = image[max(y1, 0) : max(y2, 0), max(x1, 0) : max(x2, 0)]
    top, left = min(max(-y1, 0), y2 - y1), min(max(-x1, 0), x2 - x1)
    cut = np.zeros((y2 - y1, x2 - x1, *image.shape[2:]), image.dtype)
    cut[top : top + inner.shape[0], left : left + inner.shape[1]] = inner
    # the area mode averages along axes that shrink, and would repeat pixels along those that grow
    shrunk = (min(size, cut.shape[1]), min(size, cut.shape[0]))
    cut = cv2.resize(cut, shrunk, interpolation=cv2.INTER_AREA)
    return cv2.resize(cut, (size, size), interpolation=cv2.INTER_LINEAR)
