"""Registered loss of dense contrastive learning between the cells of two objects."""

from __future__ import annotations

import torch
import torch.nn as nn
from mmdet.registry import MODELS
from torch import Tensor

from mmdet_discobox.functional import check_shapes, dense_nce


@MODELS.register_module()
class DenseNCELoss(nn.Module):
    """Compute ``L_nce`` of Sec. 3.4, averaged over the cells of a pair and over valid pairs.

    Args:
        temperature: ``tau``; the paper gives no value. On a 7 x 7 grid at 0.1, a cell equal to its
            positive and orthogonal to all negatives has loss 0.002 (at temperature 1: 2.9); a cell
            equally similar to all has log 49 = 3.9.
        foreground_only: average only over source cells whose mask exceeds 0.5 (departure). Matches
            of background cells are arbitrary, since two images do not share their background.
            ``False`` averages over all cells of the box, as in the paper.
        loss_weight: ``alpha_nce``; the paper has 0.1 (Sec. 4.2).

    Raises:
        ValueError: if the temperature is not above 0.
    """

    def __init__(
        self, temperature: float = 0.1, foreground_only: bool = True, loss_weight: float = 0.1
    ) -> None:
        super().__init__()
        if not temperature > 0:
            raise ValueError(f"Expected `temperature` to be above 0 but got {temperature}.")
        self.temperature = temperature
        self.foreground_only = foreground_only
        self.loss_weight = loss_weight

    def forward(
        self, similarity: Tensor, plan: Tensor, source_masks: Tensor, valid: Tensor
    ) -> Tensor:
        """Compute the loss of P pairs.

        The positives are ``t_i = argmax_k T(i, k)``, so plan and masks receive no gradient. The
        caller detaches the target features.

        Args:
            similarity: ``(P, N, M)`` cosines between the student's source cells and the targets'.
            plan: ``(P, N, M)`` the teacher's assignment ``T``.
            source_masks: ``(P, N)`` foreground probabilities of the source cells.
            valid: ``(P,)`` boolean, pairs to average over. Pairs without foreground are excluded.

        Returns:
            Scalar; zero and attached to the graph if there is no valid pair.

        Raises:
            ValueError: if shapes disagree.
        """
        check_shapes(
            similarity=(similarity, "P N M"),
            plan=(plan, "P N M"),
            source_masks=(source_masks, "P N"),
            valid=(valid, "P"),
        )
        losses = dense_nce(similarity, plan.argmax(-1), temperature=self.temperature)  # (P, N)
        counted = source_masks > 0.5 if self.foreground_only else torch.ones_like(losses).bool()
        cells = counted.sum(1)
        means = (losses * counted).sum(1) / cells.clamp_min(1)  # (P,)
        pairs = valid & (cells > 0)
        return self.loss_weight * (means * pairs).sum() / pairs.sum().clamp_min(1)
