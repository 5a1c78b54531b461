"""Where an object has a true mask, it takes the place of the refined one."""

from __future__ import annotations

from dataclasses import replace

import torch
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
