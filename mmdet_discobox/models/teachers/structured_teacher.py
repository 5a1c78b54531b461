"""The structured teacher (Sec. 3.2 and 3.3): coarse masks and colours in, refined masks out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn as nn
from mmdet.registry import MODELS
from mmdet.utils import OptConfigType
from torch import Tensor

from mmdet_discobox.functional import expand_boxes, without_autocast
from mmdet_discobox.structures import (
    BoxObjects,
    ContrastivePairs,
    Correspondences,
    MaskProposals,
    PseudoMasks,
    RetrievedObjects,
)

from .crops import crop_regions, grid_centres, within
from .gate import Gate
from .mask_refiner import MaskField, MaskRefiner

#: objects refined at a time: what the caches of a CPU hold; on a GPU a guess, not measured
_AT_ONCE, _AT_ONCE_ON_GPU = 16, 256


@MODELS.register_module()
class StructuredTeacher(nn.Module):
    """Minimise the energy of Sec. 3.2 for every object of a batch at once.

    Each object is laid on a grid of fixed size over its box and a margin around it, so that all
    objects of a step are one tensor whatever their sizes, and the reach of the neighbourhood is a
    share of the object instead of a number of pixels. Cells of the margin are known background:
    they keep that label and vote for it wherever the colour runs on into the box (departure: in
    the paper the field ends at the box).

    It knows no network and returns no loss. Everything runs in float32 without gradients. A crowd
    is refined some objects at a time, in the memory and at the speed that these have.

    Args:
        crop_size: cells S along each side of the grid, a multiple of 4.
        margin: share of the box's side that is added on every side of it.
        valid_area: smallest and largest share of the box that a mask may fill and still teach.
        cross_image: config of a :class:`CrossImageTerm`; None leaves the term out.
        refiner: settings of the mean field, arguments of :class:`MaskRefiner`.

    Raises:
        ValueError: for a grid below 4 cells or of no multiple of 4, or wrong settings of the mean
            field.
    """

    def __init__(
        self,
        *,
        crop_size: int = 64,
        margin: float = 0.2,
        valid_area: tuple[float, float] = (0.05, 1.0),
        cross_image: OptConfigType = None,
        refiner: OptConfigType = None,
    ) -> None:
        super().__init__()
        if crop_size < 4 or crop_size % 4:
            raise ValueError(
                f"Expected `crop_size` to be at least 4 and a multiple of 4 but got {crop_size}."
            )
        self.crop_size = crop_size
        self.margin = margin
        self.valid_area = tuple(valid_area)
        self.refine = MaskRefiner(**(refiner or {}))
        self.cross_image: Any = None if cross_image is None else MODELS.build(cross_image)
        # Schedule of L_con, and its clock: open unless a StructuredTeacherHook closes it.
        self.consistency_gate = Gate(is_open=True)
        self.register_buffer("running_mil", torch.tensor(float("inf")))

    @torch.no_grad()
    def forward(
        self,
        proposals: MaskProposals,
        images: Tensor,
        *,
        feature_maps: Sequence[Tensor] | None = None,
    ) -> PseudoMasks:
        """Refine one mask per object, and match the objects with those of the bank.

        Args:
            proposals: coarse masks of the G objects of a batch; the logits of an object's proposals
                are averaged.
            images: ``(B, 3, h, w)`` RGB in [0, 255], padded as the batch is.
            feature_maps: outputs of the neck, for the cross-image term; None leaves it out.

        Returns:
            The refined masks, their validity (objects that have a proposal, and whose mask fills a
            share of the box within ``valid_area``), and the pairs.
        """
        logits, predicted = proposals.per_object()
        objects = proposals.objects
        regions = expand_boxes(objects.boxes, self.margin) / proposals.stride
        rows = torch.arange(len(objects), device=logits.device)
        coarse = crop_regions(logits[:, None], regions, rows, self.crop_size)[:, 0]
        features = None
        if feature_maps is not None:
            features = self.roi_features(feature_maps, objects, images.shape[-1])
        return self.refine_grids(coarse, predicted, objects, images, roi_features=features)

    def roi_features(
        self, feature_maps: Sequence[Tensor], objects: BoxObjects, width: int
    ) -> Tensor | None:
        """Crop the features that the cross-image term matches.

        Args:
            feature_maps: outputs of the neck, ``(B, C, h, w)`` each.
            objects: the G objects.
            width: of the batch in pixels.

        Returns:
            ``(G, C, s, s)`` float32, differentiable in the maps; None without a cross-image term.
        """
        if self.cross_image is None:
            return None
        features: Tensor = self.cross_image.features(feature_maps, objects, width)
        return features

    @torch.no_grad()
    def refine_grids(
        self,
        coarse: Tensor,
        predicted: Tensor,
        objects: BoxObjects,
        images: Tensor,
        *,
        roi_features: Tensor | None = None,
    ) -> PseudoMasks:
        """Refine as :meth:`forward` does, from logits that lie on the grids of the objects already.

        Args:
            coarse: ``(G, S, S)`` mask logits over each box and its margin.
            predicted: ``(G,)`` boolean, objects whose logits are a prediction.
            objects: the objects.
            images: ``(B, 3, h, w)`` RGB in [0, 255].
            roi_features: ``(G, C, s, s)`` of :meth:`roi_features`, for the cross-image term.
        """
        retrieved = self._retrieve(objects, roi_features)
        with without_autocast(images):
            parts = [
                self._refine_part(
                    coarse[part],
                    objects[part],
                    images,
                    features=None if roi_features is None else roi_features[part],
                    retrieved=None if retrieved is None else retrieved.part(part),
                )
                for part in _parts(len(objects), images.is_cuda)
            ]
        refined, within_boxes, found = zip(*parts, strict=True)
        masks, inside = torch.cat(refined), torch.cat(within_boxes)
        low, high = self.valid_area
        fill = (masks > 0.5).sum((1, 2)) / inside.sum((1, 2)).clamp_min(1)
        valid = predicted & (low <= fill) & (fill <= high)
        regions = expand_boxes(objects.boxes, self.margin)
        pairs = None
        if retrieved is not None:
            matches = Correspondences.cat(found)
            pairs = self._pairs(matches, retrieved, masks, valid, objects.boxes, regions)
        return PseudoMasks(masks, inside, regions, valid, roi_features, pairs)

    def _retrieve(self, objects: BoxObjects, features: Tensor | None) -> RetrievedObjects | None:
        """Objects of the bank to match with, once for all parts: the choice is random."""
        term = self.cross_image
        if features is None or term is None or not term.gate.is_open:
            return None
        retrieved: RetrievedObjects = term.retrieve(objects)
        return retrieved

    def _refine_part(
        self,
        coarse: Tensor,
        objects: BoxObjects,
        images: Tensor,
        *,
        features: Tensor | None,
        retrieved: RetrievedObjects | None,
    ) -> tuple[Tensor, Tensor, Correspondences | None]:
        """Masks ``(G, S, S)``, the cells in the boxes, and the matches, of some of the objects."""
        regions = expand_boxes(objects.boxes, self.margin)
        field = self._field(coarse, objects, regions, images)
        masks = self.refine(field)
        if features is None or retrieved is None:
            return masks, field.inside, None
        term, found = self.cross_image, None
        appearance = term.similarity(features, retrieved.rows)
        # correspondences given masks and masks given correspondences, in turn (Sec. 3.3)
        for _ in range(term.alternations):
            roi_masks = _onto(masks, objects.boxes, regions, term.size)
            found = term.match(appearance, roi_masks, retrieved)
            votes = term.votes(found, roi_masks, retrieved)
            cross = _onto(votes, regions, objects.boxes, self.crop_size)
            masks = self.refine(field, cross)
        return masks, field.inside, found

    def _field(
        self, coarse: Tensor, objects: BoxObjects, regions: Tensor, images: Tensor
    ) -> MaskField:
        centres = grid_centres(regions, self.crop_size)
        frame = torch.cat([torch.zeros_like(objects.image_sizes), objects.image_sizes.flip(1)], 1)
        return self.refine.field(
            coarse=coarse,
            colours=crop_regions(images, regions, objects.image_inds, self.crop_size),
            inside=within(centres, objects.boxes),
            visible=within(centres, frame[objects.image_inds]),
        )

    def _pairs(
        self,
        found: Correspondences,
        retrieved: RetrievedObjects,
        masks: Tensor,
        valid: Tensor,
        boxes: Tensor,
        regions: Tensor,
    ) -> ContrastivePairs:
        roi_masks = _onto(masks, boxes, regions, self.cross_image.size)
        return ContrastivePairs(
            correspondences=found,
            rows=retrieved.rows,
            source_masks=roi_masks.repeat_interleave(retrieved.rows.shape[1], 0),
            valid=(retrieved.valid & valid[:, None]).flatten(),
        )

    def similarity(self, roi_features: Tensor, pairs: ContrastivePairs) -> Tensor:
        """Compute ``C_u`` of the pairs from other features of the sources.

        Args:
            roi_features: ``(G, C, s, s)`` of :meth:`roi_features`.
            pairs: P pairs of these objects with objects of the bank.

        Returns:
            ``(P, N, N)``, differentiable in ``roi_features``.
        """
        similarity: Tensor = self.cross_image.similarity(roi_features, pairs.rows)
        return similarity

    @torch.no_grad()
    def remember(self, pseudo: PseudoMasks, objects: BoxObjects) -> None:
        """Push the objects of a step into the bank (Sec. 3.6); without a cross-image term, nothing.

        Args:
            pseudo: their refined masks and RoI features.
            objects: the objects.
        """
        if pseudo.roi_features is None:
            return
        masks = _onto(pseudo.masks, objects.boxes, pseudo.regions, self.cross_image.size)
        self.cross_image.remember(pseudo.roi_features, masks, objects, pseudo.valid)


def _parts(count: int, on_gpu: bool) -> list[slice]:
    """Slices of ``count`` objects, one at the least."""
    size = _AT_ONCE_ON_GPU if on_gpu else _AT_ONCE
    return [slice(start, start + size) for start in range(0, max(count, 1), size)]


def _onto(grids: Tensor, inner: Tensor, outer: Tensor, size: int) -> Tensor:
    """Sample grids that lie over the boxes ``outer`` on grids over the boxes ``inner``.

    Args:
        grids: ``(G, s, s)``.
        inner: ``(G, 4)`` boxes of the new grids, in pixels.
        outer: ``(G, 4)`` boxes of the old ones.
        size: cells along a side of the new grids.

    Returns:
        ``(G, size, size)``; 0 beyond ``outer``.
    """
    origin, far = outer.split(2, 1)
    scale = grids.shape[-1] / (far - origin).clamp_min(1e-6)
    within_outer = (inner - origin.repeat(1, 2)) * scale.repeat(1, 2)
    rows = torch.arange(len(grids), device=grids.device)
    return crop_regions(grids[:, None], within_outer, rows, size)[:, 0]
