"""Registered loss of multiple-instance learning on boxes, in mmdet's calling convention."""

from __future__ import annotations

from typing import Literal

import torch.nn as nn
from mmdet.models.losses.utils import weight_reduce_loss
from mmdet.registry import MODELS
from torch import Tensor

from mmdet_discobox.functional import (
    bag_logits,
    box_projections,
    known_bags,
    mil_bce_loss,
    mil_dice_loss,
)
from mmdet_discobox.structures import MaskProposals

_FORMS = {"dice": mil_dice_loss, "bce": mil_bce_loss}
_REDUCTIONS = ("none", "mean", "sum")


@MODELS.register_module()
class BoxMILLoss(nn.Module):
    """Compute ``L_mil`` of Sec. 3.1: rows and columns inside the box are positive bags.

    Also a drop-in ``loss_mask`` of a stock ``SOLOV2Head``: of target masks, only the occupied rows
    and columns are used.

    Args:
        form: ``'dice'`` (the paper's for SOLOv2) or ``'bce'`` (for YOLACT++).
        loss_weight: ``alpha_mil``; the paper has 1 for SOLOv2 and 10 for YOLACT++ (Sec. 4.2).
        reduction: ``'none'``, ``'mean'`` or ``'sum'`` of a direct call, as for the losses of mmdet.
            DiscoBox detectors average over the masks of a batch and accept ``'mean'`` alone, see
            :func:`mil_loss`; the head of a stock SOLOv2 averages by itself.

    Raises:
        ValueError: for an unknown form or reduction.
    """

    def __init__(
        self,
        form: Literal["dice", "bce"] = "dice",
        loss_weight: float = 1.0,
        reduction: Literal["none", "mean", "sum"] = "mean",
    ) -> None:
        super().__init__()
        if form not in _FORMS:
            raise ValueError(f"Expected `form` to be one of {sorted(_FORMS)} but got {form!r}.")
        if reduction not in _REDUCTIONS:
            raise ValueError(
                f"Expected `reduction` to be one of {_REDUCTIONS} but got {reduction!r}."
            )
        self.form = form
        self.loss_weight = loss_weight
        self.reduction = reduction

    def forward(
        self,
        pred: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        avg_factor: float | None = None,
        reduction_override: Literal["none", "mean", "sum"] | None = None,
        cut_sides: Tensor | None = None,
    ) -> Tensor:
        """Compute the loss of N masks.

        Args:
            pred: ``(N, H, W)`` mask logits.
            target: ``(N, 4)`` boxes ``(x1, y1, x2, y2)`` in cells of the mask grid, or
                ``(N, H, W)`` masks, reduced to their rows and columns.
            weight: ``(N,)`` weights of the masks.
            avg_factor: divisor of the sum if the reduction is ``'mean'``.
            reduction_override: replaces ``reduction``.
            cut_sides: ``(N, 4)`` boolean, sides of the boxes that a crop has cut: their labels hold
                for some bags only, see :func:`.known_bags`. None: no side is cut.

        Returns:
            ``(N,)`` losses or their reduction, times ``loss_weight``.

        Raises:
            ValueError: if ``target`` is neither boxes nor masks, or masks with ``cut_sides``.
        """
        known = None
        if target.ndim == 3 and cut_sides is None:
            rows, cols = (bags > 0 for bags in bag_logits(target))
        elif target.ndim == 2:
            rows, cols = box_projections(target, (pred.shape[-2], pred.shape[-1]))
            if cut_sides is not None:
                known = known_bags(rows, cols, cut_sides)
        else:
            raise ValueError(
                "Expected `target` to be boxes (N, 4) or masks (N, H, W), masks without "
                f"`cut_sides`, but got {tuple(target.shape)}."
            )
        losses = _FORMS[self.form](pred, rows, cols, known=known)
        reduction = reduction_override or self.reduction
        if reduction == "mean" and avg_factor is None:
            avg_factor = max(len(losses), 1)  # a plain mean of no masks would be NaN
        return self.loss_weight * weight_reduce_loss(losses, weight, reduction, avg_factor)


def mil_loss(loss: BoxMILLoss, proposals: MaskProposals) -> Tensor:
    """Average ``L_mil`` over the mask proposals of a batch.

    Args:
        loss: a loss with the reduction ``'mean'``.
        proposals: the N masks and their boxes.

    Returns:
        Scalar; zero and attached to the graph without a proposal.

    Raises:
        ValueError: if the loss has another reduction, which would have no effect.
    """
    if loss.reduction != "mean":
        raise ValueError(
            "Expected `reduction` of the MIL loss to be 'mean', because a detector averages over "
            f"its masks, but got {loss.reduction!r}. Remove it, and scale with `loss_weight`."
        )
    losses = loss(
        proposals.logits,
        proposals.boxes / proposals.stride,
        reduction_override="none",
        cut_sides=proposals.cut_sides,
    )
    return losses.sum() / max(len(proposals), 1)
