"""Where an object has a true mask, it takes the place of the refined one."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
import torch.nn as nn
from torch import Tensor

from mmdet_discobox.structures import PseudoMasks, TrueMasks

from .crops import crop_masks


def replace_by_truth(pseudo: PseudoMasks, truth: TrueMasks) -> PseudoMasks:
    """Replace the refined masks of the objects that have a true mask.

    Everything that learns from refined masks then learns from true ones: ``L_con``, ``L_nce``, the
    bank, re-scoring and the semantic branch. A true mask has certainty 1. It is valid if any of it
    lies in the box: the true mask of an object whose visible part was cropped away teaches nothing.

    Args:
        pseudo: refined masks of G objects.
        truth: true masks of M of them.

    Returns:
        The masks with ``is_true`` and ``true_iou`` set.
    """
    inds, size = truth.object_inds, pseudo.masks.shape[-1]
    inside = pseudo.inside[inds]
    masks = crop_masks(truth.masks, pseudo.regions[inds], size) * inside  # (M, S, S)
    ious = _ious(pseudo.masks[inds] > 0.5, masks > 0.5) * pseudo.valid[inds]
    return replace(
        pseudo,
        masks=pseudo.masks.index_copy(0, inds, masks),
        valid=pseudo.valid.index_copy(0, inds, (masks > 0.5).any(2).any(1)),
        certainty=pseudo.certainty.index_fill(0, inds, 1.0),
        is_true=torch.zeros_like(pseudo.valid).index_fill(0, inds, True),
        true_iou=torch.zeros_like(pseudo.certainty).index_copy(0, inds, ious),
    )


def _ious(masks: Tensor, others: Tensor) -> Tensor:
    overlap, union = (masks & others).sum((1, 2)), (masks | others).sum((1, 2))
    return overlap / union.clamp_min(1)


class RunningTrueIoU(nn.Module):
    """Running mean of the IoU of refined masks with the true ones that replace them.

    A statistic for the log, which influences nothing and is not saved.
    """

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(math.nan), persistent=False)

    @torch.no_grad()
    def update(self, pseudo: PseudoMasks) -> Tensor:
        """Return the mean in [0, 1], 0 as long as no true mask was seen.

        Args:
            pseudo: masks of a step, with ``true_iou``. A step without a true mask changes nothing.
        """
        is_true, ious = pseudo.is_true, pseudo.true_iou
        if is_true is not None and ious is not None:
            mean = ious.sum() / is_true.sum().clamp_min(1)
            moved = torch.where(self.mean.isnan(), mean, self.mean.lerp(mean.to(self.mean), 0.1))
            self.mean.copy_(torch.where(is_true.any(), moved, self.mean))
        return self.mean.nan_to_num(0.0)
