"""Registered loss of consistency between student and teacher masks."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn as nn
from mmdet.registry import MODELS
from torch import Tensor

from mmdet_discobox.functional import check_ranges, consistency_ce, consistency_dice

#: lower bound of the sum of the weights; with less, no mask counts
_LEAST = 1e-3
_FORMS = {"ce": consistency_ce, "dice": consistency_dice}


@MODELS.register_module()
class MaskConsistencyLoss(nn.Module):
    """Compute ``L_con`` of Sec. 3.4, averaged over valid masks.

    Args:
        form: ``'ce'``, the paper's cross-entropy averaged over the box, or ``'dice'``.
        hard: threshold the teacher's marginals at 0.5, as in the paper (Alg. 1, line 21);
            otherwise they are soft targets.
        outside: weight of the pixels outside the box, which are known background. The paper has 0
            and relies on ``L_mil`` there, whose gradient reaches one pixel per row and column; that
            suffices for long schedules.
        weighted: weigh each object by :func:`.mask_certainty`, relative to the mean of the batch
            (departure: the paper weighs all alike).
        ignore: bounds ``(low, high)`` of the teacher's marginals between which a cell of the box
            has no target; None, the paper's choice, uses every cell.
        true_weight: weight of an object with a true mask relative to the others (mixed
            supervision). Such a mask has certainty 1, and none of its cells is ignored.
        loss_weight: ``alpha_con``; the paper has 1 for SOLOv2 and 2 for YOLACT++ (Sec. 4.2).

    Raises:
        ValueError: for an unknown form, bounds that are not ``0 <= low <= high <= 1``, or a
            negative weight.
    """

    def __init__(
        self,
        form: Literal["ce", "dice"] = "ce",
        hard: bool = True,
        outside: float = 0.0,
        weighted: bool = False,
        ignore: tuple[float, float] | None = None,
        true_weight: float = 1.0,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        if ignore is not None and not 0 <= ignore[0] <= ignore[1] <= 1:
            raise ValueError(
                f"Expected `ignore` to be bounds 0 <= low <= high <= 1 but got {ignore}."
            )
        if form not in _FORMS:
            raise ValueError(f"Expected `form` to be one of {sorted(_FORMS)} but got {form!r}.")
        check_ranges(
            outside=(outside, "[0, inf)"),
            true_weight=(true_weight, "[0, inf)"),
            loss_weight=(loss_weight, "[0, inf)"),
        )
        self.form = form
        self.hard = hard
        self.outside = outside
        self.weighted = weighted
        self.ignore = ignore
        self.true_weight = true_weight
        self.loss_weight = loss_weight

    def forward(
        self,
        logits: Tensor,
        masks: Tensor,
        inside: Tensor,
        valid: Tensor,
        certainty: Tensor | None = None,
        is_true: Tensor | None = None,
    ) -> Tensor:
        """Compute the loss of N student masks.

        Args:
            logits: ``(N, H, W)`` student logits of the whole image.
            masks: ``(N, H, W)`` teacher marginals in [0, 1], 0 outside the box.
            inside: ``(N, H, W)`` boolean, cells in the box.
            valid: ``(N,)`` boolean, masks to average over.
            certainty: ``(N,)`` in [0, 1], used if ``weighted``; None weighs all masks alike.
            is_true: ``(N,)`` boolean, masks that are true ones; None has none.

        Returns:
            Scalar; zero and attached to the graph if there is no valid mask.
        """
        targets = (masks > 0.5).float() if self.hard else masks
        ignored = None
        if self.ignore is not None:
            low, high = self.ignore
            ignored = inside & (low < masks) & (masks < high)
            if is_true is not None:
                ignored &= ~is_true[:, None, None]
        losses = _FORMS[self.form](logits, targets, inside, outside=self.outside, ignored=ignored)
        weights = valid.to(losses.dtype)
        if is_true is not None:
            weights = torch.where(is_true, self.true_weight * weights, weights)
        if self.weighted and certainty is not None:
            weights = weights * certainty
        return self.loss_weight * (losses * weights).sum() / weights.sum().clamp_min(_LEAST)
