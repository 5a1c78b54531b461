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


def colour_kernel(colours: Tensor, *, bandwidth: float) -> Tensor:
    """Resemblance of colours all over a grid, ``g(d) = exp(-|d|^2 / (2 bandwidth^2))``.

    Between cells averaged over 4 x 4, which answer, and cells averaged over 2 x 2, which ask: the
    pairwise term has the detail.

    Args:
        colours: ``(N, C, S, S)``, S a multiple of 4.
        bandwidth: in units of ``colours``, above 0.

    Returns:
        ``(N, S^2 / 16, S^2 / 4)`` in (0, 1].

    Raises:
        ValueError: if S is no multiple of 4, or ``bandwidth`` is not positive.
    """
    check_shapes(colours=(colours, "N C S S"))
    if bandwidth <= 0:
        raise ValueError(f"Expected `bandwidth` to be positive but got {bandwidth}.")
    if colours.shape[-1] % _ANSWER:
        raise ValueError(
            f"Expected the side of the grid to be a multiple of {_ANSWER} but got "
            f"{colours.shape[-1]}."
        )
    scaled = (colours - colours.mean((2, 3), keepdim=True)) / bandwidth
    answers, queries = (F.avg_pool2d(scaled, s).flatten(2) for s in (_ANSWER, _QUERY))
    # -|a - q|^2 / 2 = a.q - |a|^2 / 2 - |q|^2 / 2 as one product: it is the largest array here
    ones = [torch.ones_like(x[:, :1]) for x in (answers, queries)]
    halves = [x.square().sum(1, keepdim=True) / -2 for x in (answers, queries)]
    exponents = torch.cat([answers, halves[0], ones[0]], 1).mT @ torch.cat(
        [queries, ones[1], halves[1]], 1
    )
    # beyond this no density changes, and denormal numbers are slow
    return exponents.clamp_(-30, 0).exp_()


def appearance_evidence(
    kernel: Tensor, probs: Tensor, valid: Tensor, *, floor: float = 0.02
) -> Tensor:
    """Log-ratio of the colour densities of foreground and background.

    ``log (p(c | 1) + floor) - log (p(c | 0) + floor)`` with ``p(c | x) = sum_a q_a(x) g(c - c_a) /
    sum_a q_a(x)``.

    Args:
        kernel: ``(N, S^2 / 16, S^2 / 4)`` of :func:`colour_kernel`.
        probs: ``(N, S, S)`` marginals of the foreground in [0, 1], 0 outside the box.
        valid: ``(N, S, S)`` boolean; which cells carry a colour.
        floor: density that every colour has, in units of the kernel's peak: a colour that neither
            side knows says nothing.

    Returns:
        ``(N, S, S)`` log-odds; they lie within ``log((1 + floor) / floor)`` of 0.

    Raises:
        ValueError: if shapes disagree.
    """
    size = probs.shape[-1]
    check_shapes(
        kernel=(kernel, f"N {size**2 // _ANSWER**2} {size**2 // _QUERY**2}"),
        probs=(probs, "N S S"),
        valid=(valid, "N S S"),
    )
    foreground, known = (
        F.avg_pool2d(x[:, None], _ANSWER).flatten(1) for x in (probs * valid, valid.to(probs.dtype))
    )
    weights = torch.stack([foreground, (known - foreground).clamp_min(0)], 1)  # (N, 2, A)
    weights = weights / weights.sum(2, keepdim=True).clamp_min(1e-6)
    densities = (weights @ kernel + floor).log()  # (N, 2, Q)
    evidence = (densities[:, 0] - densities[:, 1]).unflatten(1, (size // _QUERY, size // _QUERY))
    return F.interpolate(
        evidence[:, None], scale_factor=_QUERY, mode="bilinear", align_corners=False
    )[:, 0]
