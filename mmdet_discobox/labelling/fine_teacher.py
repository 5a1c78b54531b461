"""The structured teacher at the resolution of the image: coarse to fine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mmdet_discobox.functional import rgb_to_lab
from mmdet_discobox.models.teachers import StructuredTeacher, crop_regions
from mmdet_discobox.structures import BoxObjects, PseudoMasks

from .coarse_masks import CoarseMasks
from .mask_quality import loneliness, mask_quality, mask_signals

#: the second pass starts from the first masks, clamped to probabilities of [_SURE, 1 - _SURE]
_SURE = 0.002
#: cells along each side of the grid of the colours that the quality compares
COLOUR_CELLS = 32


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
        if crop_size < 1 or crop_size % COLOUR_CELLS:
            raise ValueError(
                f"Expected `crop_size` to be a multiple of {COLOUR_CELLS} but got {crop_size}."
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
        self, starts: Sequence[CoarseMasks], objects: BoxObjects, images: Tensor
    ) -> Iterator[tuple[PseudoMasks, Tensor]]:
        """Refine the masks of G objects.

        The first pass refines all of them, so that each competes with all others; the second pass,
        which needs 20 times the memory, the objects of one start after the other.

        Args:
            starts: their coarse masks on the first grid, some objects at a time.
            objects: all objects of one image.
            images: ``(1, 3, H, W)`` RGB in [0, 255].

        Yields:
            For each start the refined masks on the finer grid, and their qualities ``(G,)`` in
            [0, 1], which predict the IoU with the true masks.
        """
        sizes = [len(start.predicted) for start in starts]
        features = [start.features for start in starts if start.features is not None]
        first = self.first.refine_grids(
            torch.cat([start.coarse for start in starts]),
            torch.cat([start.predicted for start in starts]),
            objects,
            images,
            roi_features=torch.cat(features) if features else None,
        )
        rows = torch.arange(len(objects), device=images.device)
        for start, masks, part in zip(
            starts, first.masks.split(sizes), rows.split(sizes), strict=True
        ):
            alone = loneliness(objects[part], objects)
            yield self._second_pass(start, masks, objects[part], images, alone)

    def _second_pass(
        self,
        start: CoarseMasks,
        masks: Tensor,
        objects: BoxObjects,
        images: Tensor,
        alone: Tensor,
    ) -> tuple[PseudoMasks, Tensor]:
        """Refine masks of the first pass, and rate them."""
        probs = self._finer(masks)
        logits = probs.clamp(_SURE, 1 - _SURE).logit()
        pseudo = self.second.refine_grids(logits, start.predicted, objects, images)
        colours = rgb_to_lab(crop_regions(images, pseudo.regions, objects.image_inds, COLOUR_CELLS))
        network = self._finer(start.coarse).sigmoid() * pseudo.inside
        signals = mask_signals(pseudo.masks, probs, colours, network=network, inside=pseudo.inside)
        signals["alone"] = alone
        if start.views is not None:
            signals["views"] = start.views
        return pseudo, self.rate(signals, start.predicted)

    def rate(self, signals: Mapping[str, Tensor], predicted: Tensor) -> Tensor:
        """Predict the qualities of masks, see :func:`.mask_quality`."""
        return mask_quality(signals, predicted)

    def _finer(self, grids: Tensor) -> Tensor:
        size = (self.second.crop_size,) * 2
        return F.interpolate(grids[:, None], size, mode="bilinear")[:, 0]
