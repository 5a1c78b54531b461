"""Consistency between the student's masks and the teacher's (Sec. 3.4, ``L_con``)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .checks import check_shapes


def consistency_ce(
    logits: Tensor, targets: Tensor, inside: Tensor, *, outside: float = 0.0
) -> Tensor:
    """``L_con`` of Sec. 3.4: cross-entropy averaged over the box.

    The paper prints the sum without its minus; a loss has one.

    Args:
        logits: ``(N, H, W)`` student logits ``m``.
        targets: ``(N, H, W)`` teacher masks ``x`` in [0, 1], 0 outside the box.
        inside: ``(N, H, W)`` boolean, pixels of the box ``r^n``.
        outside: weight of the other pixels; the paper has 0. The sum is divided by the number of
            pixels in the box all the same.

    Returns:
        ``(N,)`` losses, at least 0. A box without pixels has loss 0.
    """
    check_shapes(logits=(logits, "N H W"), targets=(targets, "N H W"), inside=(inside, "N H W"))
    losses = F.binary_cross_entropy_with_logits(logits.float(), targets.float(), reduction="none")
    total = (losses * _weights(inside, outside)).sum((1, 2))
    return total / inside.sum((1, 2)).clamp_min(1)


def consistency_dice(
    logits: Tensor, targets: Tensor, inside: Tensor, *, outside: float = 0.0, eps: float = 1e-3
) -> Tensor:
    """Dice form of ``L_con``: insensitive to the share of the box that the object fills.

    ``1 - 2 <p, x> / (<p, p> + <x, x>)`` over the pixels of the box, with SOLOv2's squared
    denominators. Not in the paper.

    Args:
        logits: ``(N, H, W)`` student logits.
        targets: ``(N, H, W)`` teacher masks in [0, 1], 0 outside the box.
        inside: ``(N, H, W)`` boolean, pixels of the box.
        outside: weight of the other pixels.
        eps: added to numerator and denominator, so that empty against empty is no loss.

    Returns:
        ``(N,)`` losses in [0, 1].
    """
    check_shapes(logits=(logits, "N H W"), targets=(targets, "N H W"), inside=(inside, "N H W"))
    weights = _weights(inside, outside)
    probs, targets = logits.float().sigmoid(), targets.float()
    overlap = (probs * targets * weights).sum((1, 2))
    total = ((probs.square() + targets.square()) * weights).sum((1, 2))
    return 1 - (2 * overlap + eps) / (total + eps)


def _weights(inside: Tensor, outside: float) -> Tensor:
    return torch.where(inside, 1.0, outside)
