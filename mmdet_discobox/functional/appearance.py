"""Appearance model: colour densities of the foreground and the background of one object.

The pairwise term of Sec. 3.2 compares immediate neighbours, so it cannot correct a label that is
wrong over a whole region, such as the sky between the legs of a horse. The appearance model
compares the colour of a cell with all current foreground and background cells of the box and its
margin, as GrabCut does (Rother et al., 2004), but with kernel densities instead of Gaussian
mixtures, which need no fit. Not in the paper.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .checks import check_shapes

#: pooling of the grid along each axis: cells that are classified, and samples of the densities
_QUERY_POOL, _SAMPLE_POOL = 2, 4


def colour_kernel(colours: Tensor, *, bandwidth: float) -> Tensor:
    """Compute the Gaussian kernel ``g(d) = exp(-|d|^2 / (2 bandwidth^2))`` between colours.

    Rows are density samples, pooled over 4 x 4 cells; columns are queries, pooled over 2 x 2. The
    pairwise term adds the finer detail.

    Args:
        colours: ``(N, C, S, S)``, S a multiple of 4.
        bandwidth: standard deviation in units of ``colours``, above 0.

    Returns:
        ``(N, S^2 / 16, S^2 / 4)`` in (0, 1].

    Raises:
        ValueError: if S is no multiple of 4, or ``bandwidth`` is not positive.
    """
    check_shapes(colours=(colours, "N C S S"))
    if bandwidth <= 0:
        raise ValueError(f"Expected `bandwidth` to be positive but got {bandwidth}.")
    if colours.shape[-1] % _SAMPLE_POOL:
        raise ValueError(
            f"Expected the side of the grid to be a multiple of {_SAMPLE_POOL} but got "
            f"{colours.shape[-1]}."
        )
    scaled = (colours - colours.mean((2, 3), keepdim=True)) / bandwidth
    samples, queries = (F.avg_pool2d(scaled, s).flatten(2) for s in (_SAMPLE_POOL, _QUERY_POOL))
    # -|s - q|^2 / 2 = s.q - |s|^2 / 2 - |q|^2 / 2 as one product, without temporaries of its size
    ones = [torch.ones_like(x[:, :1]) for x in (samples, queries)]
    halves = [x.square().sum(1, keepdim=True) / -2 for x in (samples, queries)]
    exponents = torch.cat([samples, halves[0], ones[0]], 1).mT @ torch.cat(
        [queries, ones[1], halves[1]], 1
    )
    # exp(-30) is negligible, and denormal numbers would be slow
    return exponents.clamp_(-30, 0).exp_()


def appearance_evidence(
    kernel: Tensor, probs: Tensor, valid: Tensor, *, floor: float = 0.02
) -> Tensor:
    """Compute the log-ratio of the colour densities of foreground and background.

    ``log (p(c | 1) + floor) - log (p(c | 0) + floor)`` with ``p(c | x) = sum_s q_s(x) g(c - c_s) /
    sum_s q_s(x)``.

    Args:
        kernel: ``(N, S^2 / 16, S^2 / 4)`` of :func:`colour_kernel`.
        probs: ``(N, S, S)`` marginals of the foreground in [0, 1], 0 outside the box.
        valid: ``(N, S, S)`` boolean, cells with a colour.
        floor: density added to every colour, in units of the kernel's maximum, so that a colour
            absent from both sides has log-odds near 0.

    Returns:
        ``(N, S, S)`` log-odds, at most ``log((1 + floor) / floor)`` in absolute value.

    Raises:
        ValueError: if shapes disagree.
    """
    size = probs.shape[-1]
    check_shapes(
        kernel=(kernel, f"N {size**2 // _SAMPLE_POOL**2} {size**2 // _QUERY_POOL**2}"),
        probs=(probs, "N S S"),
        valid=(valid, "N S S"),
    )
    foreground, total = (
        F.avg_pool2d(x[:, None], _SAMPLE_POOL).flatten(1)
        for x in (probs * valid, valid.to(probs.dtype))
    )
    weights = torch.stack([foreground, (total - foreground).clamp_min(0)], 1)  # (N, 2, samples)
    weights = weights / weights.sum(2, keepdim=True).clamp_min(1e-6)
    log_densities = (weights @ kernel + floor).log()  # (N, 2, queries)
    log_ratio = log_densities[:, 0] - log_densities[:, 1]
    return F.interpolate(
        log_ratio.unflatten(1, (size // _QUERY_POOL, size // _QUERY_POOL))[:, None],
        scale_factor=_QUERY_POOL,
        mode="bilinear",
        align_corners=False,
    )[:, 0]
