"""Registered loss of consistency between student and teacher masks."""

from __future__ import annotations

from typing import Literal

import torch.nn as nn
from mmdet.registry import MODELS
from torch import Tensor

from mmdet_discobox.functional import consistency_ce, consistency_dice

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
        loss_weight: ``alpha_con``; the paper has 1 for SOLOv2 and 2 for YOLACT++ (Sec. 4.2).

    Raises:
        ValueError: for an unknown form.
    """

    def __init__(
        self,
        form: Literal["ce", "dice"] = "ce",
        hard: bool = True,
        outside: float = 0.0,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        if form not in _FORMS:
            raise ValueError(f"Expected `form` to be one of {sorted(_FORMS)} but got {form!r}.")
        self.form = form
        self.hard = hard
        self.outside = outside
        self.loss_weight = loss_weight

    def forward(self, logits: Tensor, masks: Tensor, inside: Tensor, valid: Tensor) -> Tensor:
        """Compute the loss of N student masks.

        Args:
            logits: ``(N, H, W)`` student logits of the whole image.
            masks: ``(N, H, W)`` teacher marginals in [0, 1], 0 outside the box.
            inside: ``(N, H, W)`` boolean, cells in the box.
            valid: ``(N,)`` boolean, masks to average over.

        Returns:
            Scalar; zero and attached to the graph if there is no valid mask.
        """
        targets = (masks > 0.5).float() if self.hard else masks
        losses = _FORMS[self.form](logits, targets, inside, outside=self.outside)
        weights = valid.to(losses.dtype)
        return self.loss_weight * (losses * weights).sum() / weights.sum().clamp_min(1)
