"""What the colours of an object and of its surroundings say about a cell.

The pairwise term of Sec. 3.2 compares immediate neighbours, so a label that is wrong over a whole
region (the sky between the legs of a horse) is never questioned: nothing contradicts it nearby. An
appearance model asks the whole box and its margin: does this colour occur more among the cells
that are foreground now, or among those that are background? It is the idea of GrabCut (Rother et
al., 2004) with a kernel density in the place of its Gaussian mixtures, which needs no fit. Not in
the paper.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .checks import check_shapes

#: cells of the grid per cell that is asked, and per cell that answers, along each axis
_QUERY, _ANSWER = 2, 4


def appearance_evidence(
    colours: Tensor,
    probs: Tensor,
    valid: Tensor,
    *,
    bandwidth: float,
    floor: float = 0.02,
) -> Tensor:
    """Log-ratio of the colour densities of foreground and background.

    ``log (p(c | 1) + floor) - log (p(c | 0) + floor)`` with ``p(c | x) = sum_a q_a(x) g(c - c_a) /
    sum_a q_a(x)`` and ``g(d) = exp(-|d|^2 / (2 bandwidth^2))``. The densities are taken from cells
    averaged over 4 x 4, and asked for cells averaged over 2 x 2: the pairwise term has the detail.

    Args:
        colours: ``(N, C, S, S)``, S a multiple of 4.
        probs: ``(N, S, S)`` marginals of the foreground in [0, 1], 0 outside the box.
        valid: ``(N, S, S)`` boolean; which cells carry a colour.
        bandwidth: of the kernel, in units of ``colours``, above 0.
        floor: density that every colour has, in units of the kernel's peak: a colour that neither
            side knows says nothing.

    Returns:
        ``(N, S, S)`` log-odds; they lie within ``log((1 + floor) / floor)`` of 0.

    Raises:
        ValueError: if shapes disagree, S is no multiple of 4, or ``bandwidth`` is not positive.
    """
    check_shapes(colours=(colours, "N C S S"), probs=(probs, "N S S"), valid=(valid, "N S S"))
    if bandwidth <= 0:
        raise ValueError(f"Expected `bandwidth` to be positive but got {bandwidth}.")
    if probs.shape[-1] % _ANSWER:
        raise ValueError(
            f"Expected the side of the grid to be a multiple of {_ANSWER} but got "
            f"{probs.shape[-1]}."
        )
    queries = F.avg_pool2d(colours, _QUERY)  # (N, C, S/2, S/2)
    answers, foreground, known = (
        F.avg_pool2d(x, _ANSWER).flatten(2)
        for x in (colours, (probs * valid)[:, None], valid[:, None].to(probs.dtype))
    )
    weights = torch.cat([foreground, (known - foreground).clamp_min(0)], 1)  # (N, 2, A)
    weights = weights / weights.sum(2, keepdim=True).clamp_min(1e-6)
    distances = torch.cdist(queries.flatten(2).mT, answers.mT)  # (N, Q, A)
    kernel = torch.exp(distances.square() * (-0.5 / bandwidth**2))
    densities = (weights @ kernel.mT + floor).log()  # (N, 2, Q)
    evidence = (densities[:, 0] - densities[:, 1]).unflatten(1, queries.shape[-2:])
    return F.interpolate(
        evidence[:, None], scale_factor=_QUERY, mode="bilinear", align_corners=False
    )[:, 0]
