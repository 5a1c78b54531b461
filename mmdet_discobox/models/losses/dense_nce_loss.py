"""Dense contrastive loss between the cells of two objects, as a registered loss."""

from __future__ import annotations

import torch
import torch.nn as nn
from mmdet.registry import MODELS
from torch import Tensor

from mmdet_discobox.functional import check_shapes, dense_nce


@MODELS.register_module()
class DenseNCELoss(nn.Module):
    """``L_nce`` of Sec. 3.4, averaged over the cells of a pair and over the pairs that may teach.

    Args:
        temperature: ``tau``. The paper leaves it open. At 0.1 a cell that matches its positive
            exactly and is orthogonal to the other 48 cells of a 7 x 7 grid has loss 0.002, one
            that tells nothing apart has log 49 = 3.9; at 1 the first would still have 2.9.
        foreground_only: let only those cells of the source count whose mask exceeds 0.5. A
            departure: the assignment of background follows nothing that the two objects share.
            ``False`` is the paper's form, the mean over all cells of the box.
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

        The positives are ``t_i = argmax_k T(i, k)``: no gradient reaches plan or masks. That none
        reaches the targets' features either is up to the caller, who detaches them.

        Args:
            similarity: ``(P, N, M)`` cosines of the student's cells (source) to the target's.
            plan: ``(P, N, M)`` the teacher's assignment ``T``.
            source_masks: ``(P, N)`` probabilities of the foreground in the source.
            valid: ``(P,)`` boolean, the pairs that count. Without a cell that counts, a pair does
                not count either.

        Returns:
            Scalar, zero (and part of the graph) where nothing counts.

        Raises:
            ValueError: if a shape is another.
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
