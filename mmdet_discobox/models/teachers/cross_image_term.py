"""The cross-image term: log-odds of masks from matched objects of the bank (Sec. 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn as nn
from mmdet.registry import MODELS
from mmdet.utils import ConfigType
from torch import Tensor

from mmdet_discobox.functional import cross_image_logits
from mmdet_discobox.structures import (
    BoxObjects,
    ContrastivePairs,
    Correspondences,
    ObjectBank,
    RetrievedObjects,
)

from .correspondence_solver import CorrespondenceSolver
from .crops import crop_regions
from .gate import Gate


@MODELS.register_module()
class CrossImageTerm(nn.Module):
    """Compute ``tau_c`` (Sec. 3.2) with an object bank (Sec. 3.6) and a correspondence solver.

    Features and masks are on grids of S x S cells over the *box* of each object, without a margin.

    Args:
        num_classes: number of classes of the bank; set by the detector.
        channels: channels C of the RoI features; set by the detector.
        size: S. The cost of a pair grows with its fourth power.
        level: index of the neck output from which RoI features are cropped; 0 is the finest.
        w2: weight of the term. Departure: the log-odds of the retrieved objects are averaged, not
            summed, so the weight does not depend on their number.
        balanced: let matches change where the foreground is but not its area (departure), see
            :func:`cross_image_logits`.
        alternations: how often correspondence and masks are updated in turn (Sec. 3.3).
        solver: arguments of :class:`CorrespondenceSolver`.
        bank: arguments of :class:`ObjectBank` other than the above.

    Raises:
        ValueError: if ``alternations`` is below 1.
    """

    def __init__(
        self,
        num_classes: int,
        channels: int,
        *,
        size: int = 7,
        level: int = 1,
        w2: float = 0.2,
        balanced: bool = True,
        alternations: int = 1,
        solver: ConfigType | None = None,
        bank: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if alternations < 1:
            raise ValueError(f"Expected `alternations` to be at least 1 but got {alternations}.")
        self.size = size
        self.level = level
        self.w2 = w2
        self.balanced = balanced
        self.alternations = alternations
        self.solver = CorrespondenceSolver(**(solver or {}))
        self.bank = ObjectBank(num_classes, channels, size, **(bank or {}))
        # schedule of the term and of L_nce: open unless a StructuredTeacherHook closes it
        self.gate = Gate(is_open=True)

    def roi_features(
        self, feature_maps: Sequence[Tensor], objects: BoxObjects, width: int
    ) -> Tensor:
        """Crop the RoI features of the objects from the neck output of ``level``.

        Args:
            feature_maps: outputs of the neck, ``(B, C, h, w)`` each.
            objects: the G objects.
            width: of the batch in pixels.

        Returns:
            ``(G, C, S, S)`` float32, differentiable in the feature maps.

        Raises:
            ValueError: if the neck has no output of this ``level``.
        """
        if not 0 <= self.level < len(feature_maps):
            raise ValueError(
                f"Expected `cross_image.level` to be one of the {len(feature_maps)} outputs of the "
                f"neck, counted from 0 for the finest, but got {self.level}."
            )
        features = feature_maps[self.level]
        scale = features.shape[-1] / width
        return crop_regions(features, objects.boxes * scale, objects.image_inds, self.size)

    def retrieve(self, objects: BoxObjects) -> RetrievedObjects:
        """Retrieve objects of the same classes from the bank."""
        return self.bank.retrieve(objects.labels, objects.image_ids)

    def similarity(self, features: Tensor, rows: Tensor) -> Tensor:
        """Compute ``C_u`` between G objects and R bank objects each: P = G * R pairs.

        Args:
            features: ``(G, C, S, S)`` RoI features.
            rows: ``(G, R)`` rows of the bank.

        Returns:
            ``(P, N, N)`` cosines, pairs of an object in a row; differentiable in ``features``.
        """
        return self.bank.similarity(features, rows).flatten(0, 1)

    def match(
        self, appearance: Tensor, masks: Tensor, retrieved: RetrievedObjects
    ) -> Correspondences:
        """Match G objects with R retrieved objects each.

        Args:
            appearance: ``(P, N, N)`` result of :meth:`similarity`.
            masks: ``(G, S, S)`` foreground probabilities of the G objects.
            retrieved: the retrieved objects.
        """
        count = retrieved.valid.shape[1]
        return self.solver(
            appearance, masks.repeat_interleave(count, 0), retrieved.masks.flatten(0, 1)
        )

    def logits(
        self, matches: Correspondences, masks: Tensor, retrieved: RetrievedObjects
    ) -> Tensor:
        """Compute the log-odds that the matches of an object add to its mask.

        Args:
            matches: result of :meth:`match`.
            masks: ``(G, S, S)`` foreground probabilities with which the matches were computed.
            retrieved: the retrieved objects.

        Returns:
            ``(G, S, S)`` log-odds of the foreground; 0 for objects without a retrieved one.
        """
        objects, count = retrieved.valid.shape
        own = masks.flatten(1).repeat_interleave(count, 0) if self.balanced else None
        logits = cross_image_logits(
            matches.plan, matches.similarity, retrieved.masks.flatten(0, 1).flatten(1), own
        ).view(objects, count, self.size, self.size)
        weights = retrieved.valid / retrieved.valid.sum(1, keepdim=True).clamp_min(1)
        return self.w2 * torch.einsum("grhw,gr->ghw", logits, weights)

    def pairs(
        self, matches: Correspondences, masks: Tensor, valid: Tensor, retrieved: RetrievedObjects
    ) -> ContrastivePairs:
        """Return the P pairs that ``L_nce`` learns from.

        Args:
            matches: result of :meth:`match`.
            masks: ``(G, S, S)`` foreground probabilities of the G objects.
            valid: ``(G,)`` boolean, objects with a valid mask.
            retrieved: the retrieved objects.
        """
        return ContrastivePairs(
            correspondences=matches,
            rows=retrieved.rows,
            source_masks=masks.repeat_interleave(retrieved.rows.shape[1], 0),
            valid=(retrieved.valid & valid[:, None]).flatten(),
        )

    def update_bank(
        self, features: Tensor, masks: Tensor, objects: BoxObjects, valid: Tensor
    ) -> None:
        """Push objects into the bank (Sec. 3.6).

        Args:
            features: ``(G, C, S, S)`` RoI features.
            masks: ``(G, S, S)`` foreground probabilities.
            objects: the G objects.
            valid: ``(G,)`` boolean, objects to push.
        """
        sides = objects.boxes[:, 2:] - objects.boxes[:, :2]
        self.bank.push(
            features.detach(), masks, objects.labels, objects.image_ids, sides.prod(1), valid
        )
