"""Neighbourhoods and the contrast-sensitive kernel of the pairwise term (Sec. 3.2, ``tau_p``).

``k(i, j) = w1 exp(-|I_i - I_j|^2 / (2 zeta^2))`` for the neighbours ``j`` of pixel ``i``
(Alg. 1, line 4). The paper uses the 8 immediate neighbours; further dilations extend the range at
the same cost per neighbour.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .checks import check_shapes


def neighbour_offsets(dilations: Sequence[int] = (1,)) -> list[tuple[int, int]]:
    """List the offsets ``(dy, dx)`` of the 8 neighbours at each dilation.

    Args:
        dilations: distances in cells, each at least 1.

    Returns:
        ``8 * len(dilations)`` offsets, without the centre.

    Raises:
        ValueError: if there is no dilation, or one below 1.
    """
    if not dilations or min(dilations) < 1:
        raise ValueError(f"Expected `dilations` to be positive integers but got {dilations}.")
    ring = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)]
    return [(d * dy, d * dx) for d in dilations for dy, dx in ring]


def gather_neighbours(
    values: Tensor, offsets: Sequence[tuple[int, int]], *, fill: float = 0.0
) -> Tensor:
    """Gather the value of each neighbour of each pixel.

    Args:
        values: ``(..., H, W)``.
        offsets: the K offsets ``(dy, dx)``.
        fill: value of neighbours outside the grid.

    Returns:
        ``(K, ..., H, W)``; entry ``k, ..., r, c`` is ``values[..., r + dy_k, c + dx_k]``.
    """
    return torch.stack(list(_shifted_views(values, offsets, fill)))


def sum_messages(affinity: Tensor, values: Tensor, offsets: Sequence[tuple[int, int]]) -> Tensor:
    """Sum the messages ``sum_j k(i, j) v_j`` of the neighbours ``j`` (Alg. 1, lines 7-10).

    Accumulates one neighbour at a time, which needs less memory and is many times faster than
    gathering all K.

    Args:
        affinity: ``(K, ..., H, W)`` pairwise kernel.
        values: ``(..., H, W)``; neighbours outside the grid count as 0.
        offsets: the K offsets ``(dy, dx)``.

    Returns:
        ``(..., H, W)``.
    """
    total = torch.zeros_like(values)
    for weights, neighbours in zip(affinity, _shifted_views(values, offsets), strict=True):
        total = torch.addcmul(total, weights, neighbours)
    return total


def _shifted_views(
    values: Tensor, offsets: Sequence[tuple[int, int]], fill: float = 0.0
) -> Iterator[Tensor]:
    """Yield a view of the padded values for each offset."""
    height, width = values.shape[-2:]
    reach = max(max(abs(dy), abs(dx)) for dy, dx in offsets)
    padded = F.pad(values, (reach, reach, reach, reach), value=fill)
    for dy, dx in offsets:
        rows, cols = slice(reach + dy, reach + dy + height), slice(reach + dx, reach + dx + width)
        yield padded[..., rows, cols]


def colour_affinity(
    colours: Tensor,
    offsets: Sequence[tuple[int, int]],
    *,
    w1: float,
    zeta: float,
    valid: Tensor | None = None,
) -> Tensor:
    """Compute the pairwise kernel ``k(i, j)`` of Alg. 1, line 4.

    Neighbours outside the grid and invalid neighbours have weight 0, so they send no message.

    Args:
        colours: ``(N, C, H, W)``.
        offsets: the K offsets ``(dy, dx)``.
        w1: weight of the pairwise term, at least 0.
        zeta: bandwidth in units of ``colours``, above 0.
        valid: ``(N, H, W)`` boolean, pixels with a colour. Default: all.

    Returns:
        ``(K, N, H, W)`` in [0, w1].

    Raises:
        ValueError: if ``zeta`` is not positive.
    """
    check_shapes(colours=(colours, "N C H W"))
    if zeta <= 0:
        raise ValueError(f"Expected `zeta` to be positive but got {zeta}.")
    if valid is None:
        valid = torch.ones_like(colours[:, 0], dtype=torch.bool)
    check_shapes(colours=(colours, "N C H W"), valid=(valid, "N H W"))
    distances = torch.stack(
        [(shifted - colours).square().sum(1) for shifted in _shifted_views(colours, offsets)]
    )  # (K, N, H, W)
    # exp(-30) is negligible, and denormal numbers would be slow
    kernel = (distances * (-0.5 / zeta**2)).clamp_min_(-30).exp_() * w1
    return kernel.mul_(gather_neighbours(valid.to(kernel.dtype), offsets))
