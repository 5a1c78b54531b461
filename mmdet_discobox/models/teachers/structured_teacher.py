"""The structured teacher: refined masks from coarse masks and colours (Sec. 3.2 and 3.3)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
import torch.nn as nn
from mmdet.registry import MODELS
from mmdet.utils import OptConfigType
from torch import Tensor

from mmdet_discobox.functional import (
    check_ranges,
    expand_boxes,
    mask_certainty,
    without_autocast,
)
from mmdet_discobox.structures import (
    BoxObjects,
    ContrastivePairs,
    Correspondences,
    MaskProposals,
    PseudoMasks,
    RetrievedObjects,
    TrueMasks,
)

from .competition import RefinedChunk, compete
from .crops import centres_inside, crop_regions, grid_centres, resample_grids
from .gate import Gate
from .mask_refiner import MaskRefiner, MeanFieldInputs
from .truth import RunningTrueIoU, replace_by_truth

#: objects refined at a time: on a CPU as many as its caches hold, on a GPU not measured
_CHUNK_SIZE, _CHUNK_SIZE_ON_GPU = 16, 256


@MODELS.register_module()
class StructuredTeacher(nn.Module):
    """Minimise the energy of Sec. 3.2 for every object of a batch at once.

    Every object has a grid of S x S cells over its box and a margin, so objects of all sizes form
    one tensor, and the range of the neighbourhood is relative to the object. Cells of the margin
    are fixed to background and propagate this label along similar colours into the box (departure:
    in the paper the random field ends at the box). A side that a crop has cut
    (``BoxObjects.cut_sides``) is no border of the object: like the border of the image, it has no
    cells beyond it.

    The teacher is independent of the network and returns no loss. It runs in float32 without
    gradients, some objects at a time, which bounds the memory.

    Args:
        crop_size: S, a multiple of 4.
        margin: fraction of the width and height of the box added on every side, at least 0.
        valid_area: bounds ``0 <= low < high <= 1`` of the fraction of its box that a valid mask
            covers.
        cross_image: config of a :class:`CrossImageTerm`; None disables it.
        competition: weight of the objects of the same class that overlap (:func:`.compete`);
            0, the paper's choice, refines every object alone.
        refiner: arguments of :class:`MaskRefiner`, the settings of the mean field.

    Raises:
        ValueError: if ``crop_size`` is not a positive multiple of 4, for a negative ``margin`` or
            ``competition``, for wrong bounds, or for wrong settings of the mean field.
    """

    running_mil: Tensor

    def __init__(
        self,
        *,
        crop_size: int = 64,
        margin: float = 0.2,
        valid_area: tuple[float, float] = (0.05, 1.0),
        cross_image: OptConfigType = None,
        competition: float = 0.0,
        refiner: OptConfigType = None,
    ) -> None:
        super().__init__()
        if crop_size < 4 or crop_size % 4:
            raise ValueError(
                f"Expected `crop_size` to be at least 4 and a multiple of 4 but got {crop_size}."
            )
        low, high = valid_area
        if not 0 <= low < high <= 1:
            raise ValueError(
                f"Expected `valid_area` to be bounds 0 <= low < high <= 1 but got {valid_area}."
            )
        check_ranges(margin=(margin, "[0, inf)"), competition=(competition, "[0, inf)"))
        self.crop_size = crop_size
        self.margin = margin
        self.valid_area = (low, high)
        self.competition = competition
        self.refiner = MaskRefiner(**(refiner or {}))
        self.cross_image: Any = None if cross_image is None else MODELS.build(cross_image)
        # schedule of L_con and its clock: open unless a StructuredTeacherHook closes it
        self.consistency_gate = Gate(is_open=True)
        self.register_buffer("running_mil", torch.tensor(math.inf))
        self.true_iou = RunningTrueIoU()

    @property
    def correspondence_gate(self) -> Gate | None:
        """Gate of the cross-image term and of ``L_nce``; None without a cross-image term."""
        return None if self.cross_image is None else self.cross_image.gate

    def reset(self) -> None:
        """Close the gates, forget the running MIL loss and empty the bank, for a new training."""
        self.running_mil.fill_(math.inf)
        self.consistency_gate.set(False)
        if self.cross_image is not None:
            self.cross_image.gate.set(False)
            self.cross_image.bank.clear()

    @torch.no_grad()
    def forward(
        self,
        proposals: MaskProposals,
        images: Tensor,
        *,
        feature_maps: Sequence[Tensor] | None = None,
        truth: TrueMasks | None = None,
    ) -> PseudoMasks:
        """Refine one mask per object, and match the objects with those of the bank.

        Args:
            proposals: coarse masks of the G objects of a batch; the logits of the proposals of an
                object are averaged.
            images: ``(B, 3, h, w)`` RGB in [0, 255], padded like the batch.
            feature_maps: outputs of the neck, for the cross-image term; None disables it.
            truth: true masks of some objects, which replace the refined ones.

        Returns:
            The refined masks and the pairs. A mask is valid if its object has a proposal and it
            covers a fraction of the box within ``valid_area``.
        """
        logits, predicted = proposals.per_object()
        objects = proposals.objects
        regions = expand_boxes(objects.boxes, self.margin) / proposals.stride
        rows = torch.arange(len(objects), device=logits.device)
        coarse = crop_regions(logits[:, None], regions, rows, self.crop_size)[:, 0]
        features = None
        if feature_maps is not None:
            features = self.roi_features(feature_maps, objects, images.shape[-1])
        return self.refine_grids(
            coarse, predicted, objects, images, roi_features=features, truth=truth
        )

    @torch.no_grad()
    def true_masks(self, objects: BoxObjects, truth: TrueMasks) -> PseudoMasks:
        """Return the true masks alone, for the steps before the gate of ``L_con`` opens.

        Args:
            objects: the G objects.
            truth: true masks of some of them; the masks of the others are not valid.
        """
        regions = expand_boxes(objects.boxes, self.margin)
        inside = centres_inside(grid_centres(regions, self.crop_size), objects.boxes)
        certainty = torch.zeros_like(regions[:, 0])
        pseudo = PseudoMasks(
            torch.zeros_like(inside, dtype=torch.float), inside, regions, certainty > 0, certainty
        )
        return replace_by_truth(pseudo, truth)

    def roi_features(
        self, feature_maps: Sequence[Tensor], objects: BoxObjects, width: int
    ) -> Tensor | None:
        """Crop the RoI features for the cross-image term.

        Args:
            feature_maps: outputs of the neck, ``(B, C, h, w)`` each.
            objects: the G objects.
            width: of the batch in pixels.

        Returns:
            ``(G, C, s, s)`` float32, differentiable in ``feature_maps``; None without a cross-image
            term.
        """
        if self.cross_image is None:
            return None
        return self.cross_image.roi_features(feature_maps, objects, width)

    @torch.no_grad()
    def refine_grids(
        self,
        coarse: Tensor,
        predicted: Tensor,
        objects: BoxObjects,
        images: Tensor,
        *,
        roi_features: Tensor | None = None,
        truth: TrueMasks | None = None,
    ) -> PseudoMasks:
        """Refine masks like :meth:`forward`, from logits already on the grids of the objects.

        Args:
            coarse: ``(G, S, S)`` mask logits over each box and its margin.
            predicted: ``(G,)`` boolean, objects with predicted logits; the others are not valid.
            objects: the objects.
            images: ``(B, 3, h, w)`` RGB in [0, 255].
            roi_features: ``(G, C, s, s)`` result of :meth:`roi_features`; None disables the
                cross-image term.
            truth: true masks of some objects, which replace the refined ones.
        """
        retrieved = self._retrieve(objects, roi_features)
        with without_autocast(images):
            refined = [
                self._refine_chunk(
                    coarse[chunk],
                    objects[chunk],
                    images,
                    features=None if roi_features is None else roi_features[chunk],
                    retrieved=None if retrieved is None else retrieved.part(chunk),
                )
                for chunk in _chunks(len(objects), images.is_cuda)
            ]
            masks = torch.cat([chunk.masks for chunk in refined])
            regions = expand_boxes(objects.boxes, self.margin)
            if self.competition:
                masks = compete(self.refiner, refined, regions, objects, weight=self.competition)
        inside = torch.cat([chunk.inside for chunk in refined])
        low, high = self.valid_area
        coverage = (masks > 0.5).sum((1, 2)) / inside.sum((1, 2)).clamp_min(1)
        valid = predicted & (low <= coverage) & (coverage <= high)
        certainty = mask_certainty(coarse, masks, inside)
        pseudo = PseudoMasks(masks, inside, regions, valid, certainty, roi_features)
        if truth is not None:
            pseudo = replace_by_truth(pseudo, truth)
        if retrieved is None:
            return pseudo
        matches = Correspondences.cat([c.matches for c in refined if c.matches is not None])
        roi_masks = resample_grids(pseudo.masks, regions, objects.boxes, self.cross_image.size)
        pairs = self.cross_image.pairs(matches, roi_masks, pseudo.valid, retrieved)
        return replace(pseudo, pairs=pairs)

    def _retrieve(self, objects: BoxObjects, features: Tensor | None) -> RetrievedObjects | None:
        """Retrieve bank objects for all chunks at once, because the choice is random."""
        term = self.cross_image
        if features is None or term is None or not term.gate.is_open:
            return None
        return term.retrieve(objects)

    def _refine_chunk(
        self,
        coarse: Tensor,
        objects: BoxObjects,
        images: Tensor,
        *,
        features: Tensor | None,
        retrieved: RetrievedObjects | None,
    ) -> RefinedChunk:
        """Refine some of the objects, each alone."""
        regions = expand_boxes(objects.boxes, self.margin)
        prepare = partial(self._mean_field_inputs, coarse, objects, regions, images)
        inputs = prepare()
        masks = self.refiner(inputs)
        if features is None or retrieved is None:
            return RefinedChunk(masks, inputs.inside, prepare)
        term, matches, cross = self.cross_image, None, None
        appearance = term.similarity(features, retrieved.rows)
        # alternate correspondences given masks and masks given correspondences (Sec. 3.3)
        for _ in range(term.alternations):
            roi_masks = resample_grids(masks, regions, objects.boxes, term.size)
            matches = term.match(appearance, roi_masks, retrieved)
            logits = term.logits(matches, roi_masks, retrieved)
            cross = resample_grids(logits, objects.boxes, regions, self.crop_size)
            masks = self.refiner(inputs, cross)
        return RefinedChunk(masks, inputs.inside, prepare, cross, matches)

    def _mean_field_inputs(
        self, coarse: Tensor, objects: BoxObjects, regions: Tensor, images: Tensor
    ) -> MeanFieldInputs:
        centres = grid_centres(regions, self.crop_size)
        sizes = objects.image_sizes
        frames = torch.cat([torch.zeros_like(sizes), sizes.flip(1)], 1)  # (B, 4) as boxes
        frames = frames[objects.image_inds]  # (G, 4)
        if objects.cut_sides is not None:  # beyond a cut lies what the crop was put on
            frames = torch.where(objects.cut_sides, objects.boxes, frames)
        return self.refiner.prepare(
            coarse=coarse,
            colours=crop_regions(images, regions, objects.image_inds, self.crop_size),
            inside=centres_inside(centres, objects.boxes),
            visible=centres_inside(centres, frames),
            cut_sides=objects.cut_sides,
        )

    def similarity(self, roi_features: Tensor, pairs: ContrastivePairs) -> Tensor:
        """Compute ``C_u`` of given pairs with new features of the sources.

        Args:
            roi_features: ``(G, C, s, s)`` result of :meth:`roi_features`.
            pairs: P pairs of these objects with objects of the bank.

        Returns:
            ``(P, N, N)`` with N = s * s, differentiable in ``roi_features``.
        """
        return self.cross_image.similarity(roi_features, pairs.rows)

    @torch.no_grad()
    def update_bank(self, pseudo: PseudoMasks, objects: BoxObjects) -> None:
        """Push the objects of a step into the bank (Sec. 3.6), if there is one.

        Args:
            pseudo: their refined masks and RoI features.
            objects: the objects.
        """
        if pseudo.roi_features is None:
            return
        masks = resample_grids(pseudo.masks, pseudo.regions, objects.boxes, self.cross_image.size)
        self.cross_image.update_bank(pseudo.roi_features, masks, objects, pseudo.valid)


def _chunks(count: int, on_gpu: bool) -> list[slice]:
    """Divide ``count`` objects into slices, at least one."""
    size = _CHUNK_SIZE_ON_GPU if on_gpu else _CHUNK_SIZE
    return [slice(start, start + size) for start in range(0, max(count, 1), size)]
