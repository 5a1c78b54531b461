"""The cross-image term: objects of the bank, matched with those of the batch, vote on masks."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn as nn
from mmdet.registry import MODELS
from mmdet.utils import ConfigType
from torch import Tensor

from mmdet_discobox.functional import cross_image_logits
from mmdet_discobox.structures import BoxObjects, Correspondences, ObjectBank, RetrievedObjects

from .correspondence_solver import CorrespondenceSolver
from .crops import crop_regions
from .gate import Gate


@MODELS.register_module()
class CrossImageTerm(nn.Module):
    """Bank, solver and weight of ``tau_c`` (Sec. 3.2).

    Objects and their grids: S x S cells over the *box* of each object, for features and masks
    alike, which is what the bank holds.

    Args:
        num_classes: classes of the bank; a detector fills it in.
        channels: channels of the RoI features; a detector fills it in.
        size: S. The cost of a pair grows with its fourth power.
        level: of the neck's outputs, where the RoI features come from; 0 is the finest.
        w2: weight of the term. The votes of the retrieved objects are averaged, not summed
            (departure), so that it does not depend on how many there were.
        balanced: let the votes say where the foreground is and not how much there is of it, see
            :func:`cross_image_logits` (departure).
        alternations: how often correspondence and masks are found in turn (Sec. 3.3).
        solver: arguments of :class:`CorrespondenceSolver`.
        bank: arguments of :class:`ObjectBank` but the above.

    Raises:
        ValueError: if there is no alternation.
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
        # Schedule of the term and of L_nce: open unless a StructuredTeacherHook closes it.
        self.gate = Gate(is_open=True)

    def features(self, feature_maps: Any, objects: BoxObjects, width: int) -> Tensor:
        """RoI features of the objects.

        Args:
            feature_maps: outputs of the neck, ``(B, C, h, w)`` each.
            objects: the G objects.
            width: of the batch in pixels.

        Returns:
            ``(G, C, S, S)`` float32, differentiable in the feature maps.
        """
        chosen = feature_maps[self.level]
        scale = chosen.shape[-1] / width
        return crop_regions(chosen, objects.boxes * scale, objects.image_inds, self.size)

    def retrieve(self, objects: BoxObjects) -> RetrievedObjects:
        """Objects of the bank to pair with."""
        return self.bank.retrieve(objects.labels, objects.image_ids)

    def similarity(self, features: Tensor, rows: Tensor) -> Tensor:
        """Compute ``C_u`` of G objects and R objects of the bank each: P = G * R pairs.

        Args:
            features: ``(G, C, S, S)`` RoI features.
            rows: ``(G, R)`` rows of the bank.

        Returns:
            ``(P, N, N)``, the pairs of an object together; differentiable in ``features``.
        """
        return self.bank.similarity(features, rows).flatten(0, 1)

    def match(
        self, appearance: Tensor, masks: Tensor, retrieved: RetrievedObjects
    ) -> Correspondences:
        """Match G objects with R retrieved ones each.

        Args:
            appearance: ``(P, N, N)`` of :meth:`similarity`.
            masks: ``(G, S, S)`` probabilities on the objects' boxes.
            retrieved: the objects of the bank.
        """
        count = retrieved.valid.shape[1]
        return self.solver(
            appearance, masks.repeat_interleave(count, 0), retrieved.masks.flatten(0, 1)
        )

    def votes(self, found: Correspondences, masks: Tensor, retrieved: RetrievedObjects) -> Tensor:
        """What the matched objects say.

        Args:
            found: the matches, P = G * R.
            masks: ``(G, S, S)`` probabilities, what they were found with.
            retrieved: the objects of the bank.

        Returns:
            ``(G, S, S)`` log-odds of the foreground; 0 where nothing was retrieved.
        """
        objects, count = retrieved.valid.shape
        own = masks.flatten(1).repeat_interleave(count, 0) if self.balanced else None
        logits = cross_image_logits(
            found.plan, found.similarity, retrieved.masks.flatten(0, 1).flatten(1), own
        ).view(objects, count, self.size, self.size)
        weights = retrieved.valid / retrieved.valid.sum(1, keepdim=True).clamp_min(1)
        return self.w2 * torch.einsum("grhw,gr->ghw", logits, weights)

    def remember(self, features: Tensor, masks: Tensor, objects: BoxObjects, valid: Tensor) -> None:
        """Push the objects into the bank (Sec. 3.6).

        Args:
            features: ``(G, C, S, S)``.
            masks: ``(G, S, S)`` probabilities on the objects' boxes.
            objects: the G objects.
            valid: ``(G,)`` boolean, objects that may enter.
        """
        sides = objects.boxes[:, 2:] - objects.boxes[:, :2]
        self.bank.push(
            features.detach(), masks, objects.labels, objects.image_ids, sides.prod(1), valid
        )
