"""Consistency between the student's masks and the teacher's (Sec. 3.4, ``L_con``)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from .checks import check_shapes


def consistency_ce(logits: Tensor, targets: Tensor, inside: Tensor) -> Tensor:
    """``L_con`` of Sec. 3.4: cross-entropy averaged over the box.

    The paper prints the sum without its minus; a loss has one.

    Args:
        logits: ``(N, H, W)`` student logits ``m`` on a grid over the box.
        targets: ``(N, H, W)`` teacher masks ``x`` in [0, 1].
        inside: ``(N, H, W)`` weights of the pixels, 1 inside the box ``r^n`` and 0 outside.

    Returns:
        ``(N,)`` losses, at least 0. A box without pixels has loss 0.
    """
    check_shapes(logits=(logits, "N H W"), targets=(targets, "N H W"), inside=(inside, "N H W"))
    weights = inside.float()
    losses = F.binary_cross_entropy_with_logits(logits.float(), targets.float(), reduction="none")
    return (losses * weights).sum((1, 2)) / weights.sum((1, 2)).clamp_min(1)


def consistency_dice(
    logits: Tensor, targets: Tensor, inside: Tensor, *, eps: float = 1e-3
) -> Tensor:
    """Dice form of ``L_con``: insensitive to the share of the box that the object fills.

    ``1 - 2 <p, x> / (<p, p> + <x, x>)`` over the pixels of the box, with SOLOv2's squared
    denominators. Not in the paper.

    Args:
        logits: ``(N, H, W)`` student logits on a grid over the box.
        targets: ``(N, H, W)`` teacher masks in [0, 1].
        inside: ``(N, H, W)`` weights of the pixels in [0, 1].
        eps: added to numerator and denominator, so that empty against empty is no loss.

    Returns:
        ``(N,)`` losses in [0, 1].
    """
    check_shapes(logits=(logits, "N H W"), targets=(targets, "N H W"), inside=(inside, "N H W"))
    weights = inside.float()
    probs, targets = logits.float().sigmoid(), targets.float()
    overlap = (probs * targets * weights).sum((1, 2))
    total = ((probs.square() + targets.square()) * weights).sum((1, 2))
    return 1 - (2 * overlap + eps) / (total + eps)
