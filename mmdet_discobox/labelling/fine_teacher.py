"""The structured teacher at the resolution of the image: coarse to fine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from mmdet_discobox.functional import rgb_to_lab
from mmdet_discobox.models.teachers import StructuredTeacher, crop_regions
from mmdet_discobox.structures import BoxObjects, PseudoMasks

from .coarse_masks import CoarseMasks
from .mask_quality import mask_quality, mask_signals

#: the second pass starts from the first masks, clamped to probabilities of [_SURE, 1 - _SURE]
_SURE = 0.002
#: cells along each side of the grid of the colours that the quality compares
_COLOUR_CELLS = 32


class FineTeacher:
    """Refine masks with the detector's own teacher, and then on a finer grid.

    The first pass localises the object; its grid, settings and object bank are those of the
    training. The second pass starts from its result and aligns the boundary with the image edges on
    the finer grid; it uses neither the tightness of the box nor the bank.

    Args:
        teacher: teacher of the detector, or a :class:`StructuredTeacher` with the defaults.
        crop_size: cells along each side of the finer grid, a multiple of 32.
    """

    def __init__(self, teacher: StructuredTeacher, crop_size: int) -> None:
        if crop_size < 1 or crop_size % _COLOUR_CELLS:
            raise ValueError(
                f"Expected `crop_size` to be a multiple of {_COLOUR_CELLS} but got {crop_size}."
            )
        self.first = teacher
        self.second = StructuredTeacher(
            crop_size=crop_size,
            margin=teacher.margin,
            refiner=dict(
                iterations=5,
                unary_rms=None,
                unary_scale=0.6,
                unary_limit=2.5,
                tightness=None,
                fullness=None,
                appearance=0.0,
            ),
        )
        self.margin = teacher.margin
        self.crop_size = teacher.crop_size  # of the coarse masks

    def __call__(
        self, start: CoarseMasks, objects: BoxObjects, images: Tensor
    ) -> tuple[PseudoMasks, Tensor]:
        """Refine the masks of G objects.

        Args:
            start: their coarse masks on the first grid.
            objects: the objects.
            images: ``(B, 3, H, W)`` RGB in [0, 255].

        Returns:
            The refined masks on the finer grid, and their qualities ``(G,)`` in [0, 1], which
            predict the IoU with the true masks.
        """
        common: dict[str, Any] = dict(predicted=start.predicted, objects=objects, images=images)
        first = self.first.refine_grids(start.coarse, roi_features=start.features, **common)
        probs = self._finer(first.masks)
        logits = probs.clamp(_SURE, 1 - _SURE).logit()
        pseudo = self.second.refine_grids(logits, **common)
        colours = rgb_to_lab(
            crop_regions(images, pseudo.regions, objects.image_inds, _COLOUR_CELLS)
        )
        network = self._finer(start.coarse).sigmoid() * pseudo.inside
        signals = mask_signals(pseudo.masks, probs, colours, network=network)
        if start.views is not None:
            signals["views"] = start.views
        return pseudo, self.rate(signals, start.predicted)

    def rate(self, signals: Mapping[str, Tensor], predicted: Tensor) -> Tensor:
        """Predict the qualities of masks, see :func:`.mask_quality`."""
        return mask_quality(signals, predicted)

    def _finer(self, grids: Tensor) -> Tensor:
        size = (self.second.crop_size,) * 2
        return F.interpolate(grids[:, None], size, mode="bilinear")[:, 0]
