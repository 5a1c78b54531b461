"""Consistency between the student's masks and the teacher's (Sec. 3.4, ``L_con``)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .checks import check_shapes


def consistency_ce(
    logits: Tensor,
    targets: Tensor,
    inside: Tensor,
    *,
    outside: float = 0.0,
    ignored: Tensor | None = None,
) -> Tensor:
    """Compute ``L_con`` of Sec. 3.4, the cross-entropy averaged over the box.

    The paper prints the sum without the minus sign.

    Args:
        logits: ``(N, H, W)`` student logits ``m``.
        targets: ``(N, H, W)`` teacher masks ``x`` in [0, 1], 0 outside the box.
        inside: ``(N, H, W)`` boolean, pixels of the box ``r^n``.
        outside: weight of the pixels outside the box; the paper has 0. The sum is always divided
            by the number of pixels in the box that are not ignored.
        ignored: ``(N, H, W)`` boolean, pixels without a target; default none.

    Returns:
        ``(N,)`` losses, at least 0; at ``outside=0`` a box without pixels has loss 0.
    """
    check_shapes(logits=(logits, "N H W"), targets=(targets, "N H W"), inside=(inside, "N H W"))
    losses = F.binary_cross_entropy_with_logits(logits.float(), targets.float(), reduction="none")
    total = (losses * _weights(inside, outside, ignored)).sum((1, 2))
    counted = inside if ignored is None else inside & ~ignored
    return total / counted.sum((1, 2)).clamp_min(1)


def consistency_dice(
    logits: Tensor,
    targets: Tensor,
    inside: Tensor,
    *,
    outside: float = 0.0,
    ignored: Tensor | None = None,
    eps: float = 1e-3,
) -> Tensor:
    """Compute the Dice form of ``L_con``, insensitive to how much of the box the object covers.

    ``1 - 2 <p, x> / (<p, p> + <x, x>)`` over the pixels of the box, with SOLOv2's squared
    denominators. Not in the paper.

    Args:
        logits: ``(N, H, W)`` student logits.
        targets: ``(N, H, W)`` teacher masks in [0, 1], 0 outside the box.
        inside: ``(N, H, W)`` boolean, pixels of the box.
        outside: weight of the pixels outside the box.
        ignored: ``(N, H, W)`` boolean, pixels without a target; default none.
        eps: added to numerator and denominator, so that two empty masks have loss 0.

    Returns:
        ``(N,)`` losses in [0, 1].
    """
    check_shapes(logits=(logits, "N H W"), targets=(targets, "N H W"), inside=(inside, "N H W"))
    weights = _weights(inside, outside, ignored)
    probs, targets = logits.float().sigmoid(), targets.float()
    overlap = (probs * targets * weights).sum((1, 2))
    total = ((probs.square() + targets.square()) * weights).sum((1, 2))
    return 1 - (2 * overlap + eps) / (total + eps)


def mask_certainty(coarse: Tensor, refined: Tensor, inside: Tensor) -> Tensor:
    """Estimate how certain each refined mask is, as a weight of its object in ``L_con``.

    ``IoU(m, x) * mean |2 q - 1|`` over the box: the agreement of the coarse mask ``m`` with the
    refined one ``x``, times the mean certainty of the marginals ``q``. Not in the paper, which
    weighs all objects alike.

    Args:
        coarse: ``(G, S, S)`` logits of the coarse masks.
        refined: ``(G, S, S)`` marginals of the refined masks in [0, 1].
        inside: ``(G, S, S)`` boolean, cells of the box.

    Returns:
        ``(G,)`` in [0, 1]; 0 for a box without cells or if both masks are empty.
    """
    check_shapes(coarse=(coarse, "G S S"), refined=(refined, "G S S"), inside=(inside, "G S S"))
    before, after = (coarse > 0) & inside, (refined > 0.5) & inside
    ious = (before & after).sum((1, 2)) / (before | after).sum((1, 2)).clamp_min(1)
    certainty = ((2 * refined - 1).abs() * inside).sum((1, 2)) / inside.sum((1, 2)).clamp_min(1)
    return ious * certainty


def _weights(inside: Tensor, outside: float, ignored: Tensor | None) -> Tensor:
    weights = torch.where(inside, 1.0, outside)
    return weights if ignored is None else weights.masked_fill(ignored, 0)
