"""Masks of some objects of an image, which survive the geometric transforms of mmdet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmdet.structures.mask import BitmapMasks


class PartialMasks(BitmapMasks):
    """Masks of an image of which only some objects have a true one.

    mmdet's transforms move, crop and select ``gt_masks`` together with the boxes, so the flag of
    each mask travels with it: every method that returns masks keeps it. A flag never changes: a
    true mask that is cropped to nothing remains a true, empty mask. An object without a true mask
    has the rectangle of its box in its place, from which transforms that recompute boxes from
    masks derive the same box as without masks. The rectangle is never used for training.

    Args:
        masks: ``(N, H, W)`` uint8 of 0 and 1, or a sequence of N ``(H, W)``.
        height: H.
        width: W.
        is_true: ``(N,)`` boolean, objects with a true mask; by default all.

    Attributes:
        uncut: ``(N, 4)`` float32 ``(x1, y1, x2, y2)`` in pixels after :meth:`crop`, for boxes that
            are recomputed next: the extent of each rectangle before the crop. For true masks it is
            that of what is left, around which a recomputed box is tight. None otherwise.
    """

    uncut: np.ndarray | None = None

    def __init__(
        self, masks: Any, height: int, width: int, is_true: np.ndarray | None = None
    ) -> None:
        whole = isinstance(masks, np.ndarray) and masks.shape[1:] == (height, width)
        super().__init__(masks[:0] if whole else masks, height, width)
        if whole:  # the parent copies, which would fill the memory of all pixels that are 0
            self.masks = masks
        flags = np.ones(len(self.masks), bool) if is_true is None else is_true
        self.is_true = np.asarray(flags, bool).reshape(-1)
        if len(self.is_true) != len(self.masks):
            raise ValueError(
                f"Expected a flag for each of the {len(self.masks)} masks but got "
                f"{len(self.is_true)}."
            )

    def like(self, masks: BitmapMasks) -> PartialMasks:
        """Return transformed masks of the same objects with the flags of these."""
        return PartialMasks(masks.masks, masks.height, masks.width, self.is_true)

    def __getitem__(self, index: Any) -> PartialMasks:
        chosen = super().__getitem__(index)
        return PartialMasks(
            chosen.masks, self.height, self.width, np.atleast_1d(self.is_true[index])
        )

    def rescale(self, *args: Any, **kwargs: Any) -> PartialMasks:
        """See :meth:`BitmapMasks.rescale`."""
        return self.like(super().rescale(*args, **kwargs))

    def resize(self, *args: Any, **kwargs: Any) -> PartialMasks:
        """See :meth:`BitmapMasks.resize`."""
        return self.like(super().resize(*args, **kwargs))

    def flip(self, *args: Any, **kwargs: Any) -> PartialMasks:
        """See :meth:`BitmapMasks.flip`."""
        return self.like(super().flip(*args, **kwargs))

    def pad(self, *args: Any, **kwargs: Any) -> PartialMasks:
        """See :meth:`BitmapMasks.pad`."""
        return self.like(super().pad(*args, **kwargs))

    def crop(self, bbox: np.ndarray) -> PartialMasks:
        """See :meth:`BitmapMasks.crop`."""
        cropped = self.like(super().crop(bbox))
        cropped.uncut = tight_boxes(cropped.masks)
        offset = np.clip(bbox[:2], 0, (self.width, self.height))
        rectangles = tight_boxes(self.masks[~self.is_true])
        cropped.uncut[~self.is_true] = rectangles - np.tile(offset, 2)
        return cropped

    def crop_and_resize(
        self, bboxes: Any, out_shape: Any, inds: Any, *args: Any, **kwargs: Any
    ) -> PartialMasks:
        """See :meth:`BitmapMasks.crop_and_resize`."""
        masks = super().crop_and_resize(bboxes, out_shape, inds, *args, **kwargs)
        flags = self.is_true[np.asarray(inds, dtype=int)] if len(masks) else None
        return PartialMasks(masks.masks, masks.height, masks.width, flags)

    def expand(self, *args: Any, **kwargs: Any) -> PartialMasks:
        """See :meth:`BitmapMasks.expand`."""
        return self.like(super().expand(*args, **kwargs))

    def translate(self, *args: Any, **kwargs: Any) -> PartialMasks:
        """See :meth:`BitmapMasks.translate`."""
        return self.like(super().translate(*args, **kwargs))

    def shear(self, *args: Any, **kwargs: Any) -> PartialMasks:
        """See :meth:`BitmapMasks.shear`."""
        return self.like(super().shear(*args, **kwargs))

    def rotate(self, *args: Any, **kwargs: Any) -> PartialMasks:
        """See :meth:`BitmapMasks.rotate`."""
        return self.like(super().rotate(*args, **kwargs))

    @classmethod
    def cat(cls, masks: Sequence[PartialMasks]) -> PartialMasks:
        """Concatenate the masks of several images of one size."""
        joined = super().cat(masks)
        flags = np.concatenate([each.is_true for each in masks])
        return PartialMasks(joined.masks, joined.height, joined.width, flags)


def tight_boxes(masks: np.ndarray) -> np.ndarray:
    """Return the extents of ``(N, H, W)`` masks, ``(N, 4)`` float32, 0 for empty ones."""
    ends = []
    for axis in (1, 2):  # columns, rows
        occupied = masks.max(axis, initial=0) > 0
        first, last = occupied.argmax(1), occupied.shape[1] - occupied[:, ::-1].argmax(1)
        ends.append(np.stack([first, last], 1) * occupied.any(1, keepdims=True))
    (x1, x2), (y1, y2) = (each.T for each in ends)
    return np.stack([x1, y1, x2, y2], 1).astype(np.float32)
