"""Carrying masks and key points from one object to another through a plan.

A plan ``(P, N, M)`` of the transport is read by rows: a row, divided by its sum, is a distribution
over the cells of the target, and says where its source cell went. The paper reads the mode alone
(``t_i`` of Sec. 3.4); positions here are finer than a cell.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .checks import check_shapes


def transfer_masks(plan: Tensor, target_masks: Tensor) -> Tensor:
    """What the target's mask says about the source: its expectation under each row.

    Args:
        plan: ``(P, N, M)`` plans.
        target_masks: ``(P, M)`` foreground probabilities of the target cells, in [0, 1].

    Returns:
        ``(P, N)`` foreground probabilities of the source cells, in [0, 1]; 0 for an empty row.

    Raises:
        ValueError: if shapes disagree.
    """
    check_shapes(plan=(plan, "P N M"), target_masks=(target_masks, "P M"))
    # p: pair, n: source cell, m: target cell
    return torch.einsum("pnm,pm->pn", _rows(plan), target_masks.to(plan.dtype))


def match_cells(plan: Tensor, *, size: int) -> tuple[Tensor, Tensor]:
    """Where the centre of each source cell lies in the target, and how sure the plan is.

    The position is the top of the parabolas, along x and along y, through the logarithms of a
    row's mode and its neighbours. The logarithm of an entropic plan is linear in the similarity,
    so the position depends little on ``eps``: the mean of a window is drawn to the window's middle
    if the plan is flat, and measures worse. At the border of the box the mode itself is taken.

    Args:
        plan: ``(P, N, N)`` plans.
        size: S, cells along a side.

    Returns:
        Positions ``(P, N, 2)``, x and y in [0, 1] of the target's box, and certainties ``(P, N)``
        in [0, 1]: the share of the row that lies within a cell of the mode (3 x 3 cells).

    Raises:
        ValueError: if the plan is not of S^2 by S^2 cells.
    """
    check_shapes(plan=(plan, f"P {size**2} {size**2}"))
    rows = _rows(plan)
    mode = rows.argmax(2)
    around = _neighbourhood(rows, mode, size)
    column = mode % size + _top(around[:, :, 1])
    row = mode.div(size, rounding_mode="floor") + _top(around[..., 1])
    return (torch.stack([column, row], -1) + 0.5) / size, around.sum((2, 3))


def transfer_points(plan: Tensor, points: Tensor, *, size: int) -> tuple[Tensor, Tensor]:
    """Carry points from the source's box to the target's.

    Args:
        plan: ``(P, N, N)`` plans.
        points: ``(P, K, 2)`` x and y in [0, 1] of the source's box.
        size: S, cells along a side.

    Returns:
        As of :func:`follow_matches`. A point between empty rows stays, with certainty 0.

    Raises:
        ValueError: if shapes disagree.
    """
    check_shapes(plan=(plan, f"P {size**2} {size**2}"), points=(points, "P K 2"))
    return follow_matches(*match_cells(plan, size=size), points.to(plan.dtype), size=size)


def follow_matches(
    positions: Tensor, certainty: Tensor, points: Tensor, *, size: int
) -> tuple[Tensor, Tensor]:
    """Carry points along matches of cells.

    A point moves by the offsets of the four cells around it, weighted bilinearly and by their
    certainties: continuous in the point, and exact for shifts. Between the outermost centres and
    the border, the offsets are those of the outermost cells.

    Args:
        positions: ``(P, N, 2)`` of :func:`match_cells`.
        certainty: ``(P, N)`` of :func:`match_cells`.
        points: ``(P, K, 2)`` x and y in [0, 1] of the source's box.
        size: S, cells along a side.

    Returns:
        Points ``(P, K, 2)`` in the coordinates of the target's box, beyond [0, 1] where an offset
        leads out of it, and certainties ``(P, K)`` in [0, 1].

    Raises:
        ValueError: if shapes disagree.
    """
    check_shapes(
        positions=(positions, f"P {size**2} 2"),
        certainty=(certainty, f"P {size**2}"),
        points=(points, "P K 2"),
    )
    centres = (torch.arange(size, device=points.device, dtype=points.dtype) + 0.5) / size
    home = torch.cartesian_prod(centres, centres).flip(1)  # (N, 2), x first
    weights = certainty[..., None]
    field = torch.cat([(positions - home) * weights, weights], 2)  # (P, N, 3)
    sampled = F.grid_sample(
        field.mT.unflatten(2, (size, size)),
        2 * points[:, None] - 1,
        padding_mode="border",
        align_corners=False,
    )[:, :, 0].mT  # (P, K, 3)
    offsets, weights = sampled.split([2, 1], 2)
    return points + offsets / weights.clamp_min(_tiny(points)), weights[..., 0]


def _rows(plan: Tensor) -> Tensor:
    return plan / plan.sum(2, keepdim=True).clamp_min(_tiny(plan))


def _tiny(tensor: Tensor) -> float:
    return torch.finfo(tensor.dtype).tiny


def _neighbourhood(rows: Tensor, mode: Tensor, size: int) -> Tensor:
    """The 3 x 3 cells around each row's mode, ``(P, N, 3, 3)``; 0 outside the grid."""
    width = size + 2
    padded = F.pad(rows.unflatten(2, (size, size)), (1, 1, 1, 1)).flatten(2)
    step = torch.arange(3, device=rows.device)
    corner = mode.div(size, rounding_mode="floor") * width + mode % size
    places = corner[..., None] + (step[:, None] * width + step).flatten()
    return padded.gather(2, places).unflatten(2, (3, 3))


def _top(values: Tensor) -> Tensor:
    """Top of the parabola through three logarithms, in [-0.5, 0.5] of the middle one."""
    left, middle, right = values.clamp_min(_tiny(values)).log().unbind(-1)
    curvature = left - 2 * middle + right
    peaked = (values.amin(-1) > 0) & (curvature < 0)
    return torch.where(peaked, (left - right) / (2 * curvature), 0)
