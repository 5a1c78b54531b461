"""Masks of some objects of an image, which survive the geometric transforms of mmdet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from mmdet.structures.mask import BitmapMasks

#: transforms of mmdet that move or add boxes without the masks, lose the flags, or refuse masks
_UNAWARE = (
    "Albu", "CopyPaste", "MixUp", "Mosaic", "RandomAffine", "RandomCenterCropPad", "RandomShift",
)  # fmt: skip


def check_moves_masks(dataset: Any) -> None:
    """Check that the pipelines of a data set, and of its wrappers, move masks with their boxes.

    Args:
        dataset: the data set or its outer wrapper, built.

    Raises:
        ValueError: if a pipeline loads :class:`PartialMasks` and has a transform that does not.
    """
    names = [type(transform).__name__ for transform in _transforms(dataset)]
    unaware = sorted({name for name in names if name in _UNAWARE})
    if unaware and "LoadTrueMasks" in names:
        raise ValueError(
            "Expected transforms that move true masks with their boxes, but the pipeline has "
            f"{', '.join(unaware)}. Use CachedMosaic for Mosaic and CachedMixUp for MixUp, remove "
            "the others, or train on boxes alone (use_masks=False, without LoadTrueMasks)."
        )


def check_mask_settings(dataset: Any, *, true_masks: bool) -> None:
    """Check that model, data set and pipeline agree on mixed supervision.

    With one of the three settings alone, or two of them, training would go on without masks.

    Args:
        dataset: the data set or its outer wrapper, built. Data sets that have no ``use_masks``,
            such as mmdet's, read their masks themselves.
        true_masks: the setting of the model.

    Raises:
        ValueError: if some of the settings are there, and others are not.
    """
    loads = "LoadTrueMasks" in [type(transform).__name__ for transform in _transforms(dataset)]
    uses = [getattr(leaf, "use_masks", None) for leaf in _leaves(dataset)]
    settings = {
        "model.true_masks=True": true_masks,
        "use_masks=True of the CocoBoxDataset": any(uses) or (loads and None in uses),
        "dict(type='LoadTrueMasks') after LoadAnnotations in its pipeline": loads,
    }
    given, missing = ([k for k, v in settings.items() if bool(v) is each] for each in (True, False))
    if given and missing:
        raise ValueError(
            "Expected all three settings of mixed supervision or none, because no mask is learned "
            f"from otherwise, but got {' and '.join(given)} without {' and '.join(missing)}. Add "
            "what is missing, or train on boxes alone without all of them."
        )


def _leaves(dataset: Any) -> Iterator[Any]:
    """Yield the data sets inside of wrappers."""
    inner = [getattr(dataset, "dataset", None), *getattr(dataset, "datasets", ())]
    inside = [each for each in inner if each is not None]
    for each in inside:
        yield from _leaves(each)
    if not inside:
        yield dataset


def _transforms(dataset: Any) -> Iterator[Any]:
    """Yield the transforms of a data set, of those inside, and of transforms inside these."""
    pipeline = getattr(dataset, "pipeline", ())
    yield from _flat(getattr(pipeline, "transforms", pipeline))
    for each in (getattr(dataset, "dataset", None), *getattr(dataset, "datasets", ())):
        if each is not None:
            yield from _transforms(each)


def _flat(transforms: Iterable[Any]) -> Iterator[Any]:
    for transform in transforms:
        yield transform
        inside = getattr(transform, "transforms", ())  # a list, or a Compose, which has a list
        yield from _flat(getattr(inside, "transforms", inside))


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
        super().__init__(masks, height, width)
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
