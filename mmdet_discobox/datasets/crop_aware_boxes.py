"""Boxes that remember where their sides were before a crop, so that losses know the cut ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import torch
from mmcv.transforms import BaseTransform
from mmdet.registry import TRANSFORMS
from mmdet.structures.bbox import HorizontalBoxes, register_box, register_box_converter
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from torch import Tensor

from mmdet_discobox.structures import PartialMasks
from mmdet_discobox.utils.types import Json

#: pixels that a side may move without being cut: the rounding of annotations and scales
_ROUNDING = 0.5


def _new_boxes(name: str) -> Callable:
    """Return a method that applies one of ``HorizontalBoxes`` to the boxes and to ``uncut``."""
    parent = getattr(HorizontalBoxes, name)

    @wraps(parent)
    def method(self: CropAwareBoxes, *args: Any, **kwargs: Any) -> CropAwareBoxes:
        boxes, uncut = (
            parent(HorizontalBoxes(tensor, clone=False), *args, **kwargs).tensor
            for tensor in (self.tensor, self.uncut)
        )
        return CropAwareBoxes(boxes, clone=False, uncut=uncut)

    return method


def _in_place(name: str) -> Callable:
    """Return a method that applies one of ``HorizontalBoxes`` in place, also to ``uncut``."""
    parent = getattr(HorizontalBoxes, name)

    @wraps(parent)
    def method(self: CropAwareBoxes, *args: Any, **kwargs: Any) -> None:
        uncut = HorizontalBoxes(self.uncut, clone=False)
        parent(self, *args, **kwargs)
        parent(uncut, *args, **kwargs)
        self.uncut = uncut.tensor

    return method


@register_box("crop_aware")
class CropAwareBoxes(HorizontalBoxes):
    """Horizontal boxes of mmdet that remember their extent before they were clipped.

    A clipped box need not be tight around what is left of its object (see :func:`.known_bags`), but
    mmdet's transforms clip boxes in place and drop arrays of their own from ``results``. Therefore
    the boxes carry a second extent, ``uncut``: every transform moves, scales, flips and selects
    both, and only ``clip_`` leaves it as it is. ``LoadAnnotations(box_type="crop_aware")`` creates
    these boxes, and :class:`PackCutSides` ends their way.

    A rotation or shear (``RandomAffine``) loosens all sides, which is not noted.

    Args:
        *args: arguments of ``HorizontalBoxes``.
        uncut: ``(..., 4)`` extent before clipping; None if the boxes are not clipped yet.
        **kwargs: keyword arguments of ``HorizontalBoxes``.
    """

    def __init__(self, *args: Any, uncut: Tensor | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.uncut = self.tensor.clone() if uncut is None else uncut

    __getitem__ = _new_boxes("__getitem__")
    clone = _new_boxes("clone")
    to = _new_boxes("to")
    cpu = _new_boxes("cpu")
    cuda = _new_boxes("cuda")
    detach = _new_boxes("detach")

    flip_ = _in_place("flip_")
    translate_ = _in_place("translate_")
    rotate_ = _in_place("rotate_")
    project_ = _in_place("project_")
    rescale_ = _in_place("rescale_")
    resize_ = _in_place("resize_")

    def __deepcopy__(self, memo: dict) -> CropAwareBoxes:
        """Copy both extents; the parent copies ``tensor`` alone."""
        return self.clone()

    @classmethod
    def cat(cls, box_list: Sequence[CropAwareBoxes], dim: int = 0) -> CropAwareBoxes:
        """Concatenate boxes, as ``Mosaic`` and ``MixUp`` do."""
        uncut = torch.cat([boxes.uncut for boxes in box_list], dim)
        return cls(super().cat(box_list, dim).tensor, clone=False, uncut=uncut)

    @staticmethod
    def from_instance_masks(masks: BitmapMasks | PolygonMasks) -> CropAwareBoxes:
        """Compute tight boxes of masks after a crop: none of their sides is cut.

        Only objects of :class:`PartialMasks` without a true mask have sides that this crop has cut:
        their mask is the rectangle of the box.
        """
        boxes = HorizontalBoxes.from_instance_masks(masks).tensor
        uncut = masks.uncut if isinstance(masks, PartialMasks) else None
        return CropAwareBoxes(boxes, uncut=None if uncut is None else torch.from_numpy(uncut))

    def cut_sides(self, tolerance: float = 0.0) -> Tensor:
        """Mark the sides that clipping moved.

        Args:
            tolerance: fraction of the uncut width or height that a side may move unmarked. Half a
                pixel, the rounding of boxes, is never marked.

        Returns:
            ``(..., 4)`` boolean, for x1, y1, x2 and y2.
        """
        lengths = self.uncut[..., 2:] - self.uncut[..., :2]
        moved = (self.tensor - self.uncut).abs()
        return moved > (tolerance * torch.cat([lengths, lengths], -1)).clamp_min(_ROUNDING)


@register_box_converter(CropAwareBoxes, HorizontalBoxes)
@register_box_converter(HorizontalBoxes, CropAwareBoxes)
def _same_coordinates(boxes: Tensor) -> Tensor:
    return boxes


@TRANSFORMS.register_module()
class PackCutSides(BaseTransform):
    """Write the cut sides of the boxes into the data sample, after ``PackDetInputs``.

    ``L_mil`` and the structured teacher then demand no foreground in rows or columns that a crop
    may have emptied, see :func:`.known_bags`. Without this transform every box counts as tight.

    Required keys: ``data_samples`` with :class:`CropAwareBoxes` as ``gt_instances.bboxes``.
    Modified keys: ``data_samples``, whose ``gt_instances`` get ``cut_sides``, ``(G, 4)`` boolean.

    Args:
        tolerance: fraction of the width or height of a box that a crop may remove on a side before
            the side counts as cut. 0 is exact; with 0.2, 1 % of the bags that count as positive are
            false, as for whole boxes (``benchmarks/bench_cut_boxes.py``), and few are given up.

    Raises:
        ValueError: if ``tolerance`` is not in [0, 1), or the boxes are of another type.
    """

    def __init__(self, tolerance: float = 0.2) -> None:
        if not 0 <= tolerance < 1:
            raise ValueError(f"Expected `tolerance` to be in [0, 1) but got {tolerance}.")
        self.tolerance = tolerance

    def transform(self, results: Json) -> Json:
        """Add ``cut_sides`` to the instances of the packed sample."""
        sample = results["data_samples"]
        boxes = sample.gt_instances.bboxes
        if not isinstance(boxes, CropAwareBoxes):
            raise ValueError(
                "Expected boxes that remember their extent before crops but got "
                f"{type(boxes).__name__}. Set box_type='crop_aware' in LoadAnnotations, and use no "
                "transform that replaces the boxes (Albu, RandomErasing)."
            )
        visible = boxes.clone()
        visible.clip_(sample.img_shape[:2])  # transforms may leave boxes beyond the image
        sample.gt_instances.cut_sides = visible.cut_sides(self.tolerance)
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}(tolerance={self.tolerance})"
