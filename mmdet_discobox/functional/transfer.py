"""Transfer of masks and key points between two objects by a transport plan.

A normalised row of a plan ``(P, N, M)`` is the distribution of a source cell's match over the
target cells. The paper uses only its mode (``t_i`` of Sec. 3.4); positions here are finer than a
cell.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .checks import check_shapes


def transfer_masks(plan: Tensor, target_masks: Tensor) -> Tensor:
    """Transfer target masks to the source: the expected foreground under each row of the plan.

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
    return torch.einsum("pnm,pm->pn", _normalise_rows(plan), target_masks.to(plan.dtype))


def match_cells(plan: Tensor, *, size: int) -> tuple[Tensor, Tensor]:
    """Locate the centre of each source cell in the target, with a certainty.

    Fits parabolas along x and y through the logarithms of a row's mode and its neighbours; the
    position is their maximum. The logarithm of an entropic plan is linear in the similarity, so the
    position depends little on ``eps``, unlike the mean of a window, which is biased to the window
    centre for flat plans and measures worse. At the border of the box the mode itself is used.

    Args:
        plan: ``(P, N, N)`` plans.
        size: S, cells per side.

    Returns:
        Positions ``(P, N, 2)``, x and y in [0, 1] of the target box, and certainties ``(P, N)`` in
        [0, 1]: the fraction of the row in the 3 x 3 cells around the mode.

    Raises:
        ValueError: if the plan is not ``(P, S^2, S^2)``.
    """
    check_shapes(plan=(plan, f"P {size**2} {size**2}"))
    rows = _normalise_rows(plan)
    mode = rows.argmax(2)
    window = _window_around(rows, mode, size)
    column = mode % size + _parabola_maximum(window[:, :, 1])
    row = mode.div(size, rounding_mode="floor") + _parabola_maximum(window[..., 1])
    return (torch.stack([column, row], -1) + 0.5) / size, window.sum((2, 3))


def transfer_points(plan: Tensor, points: Tensor, *, size: int) -> tuple[Tensor, Tensor]:
    """Transfer points from the source box to the target box.

    Args:
        plan: ``(P, N, N)`` plans.
        points: ``(P, K, 2)`` x and y in [0, 1] of the source box.
        size: S, cells per side.

    Returns:
        Points and certainties, see :func:`interpolate_matches`. Points between empty rows are not
        moved and have certainty 0.

    Raises:
        ValueError: if shapes disagree.
    """
    check_shapes(plan=(plan, f"P {size**2} {size**2}"), points=(points, "P K 2"))
    return interpolate_matches(*match_cells(plan, size=size), points.to(plan.dtype), size=size)


def interpolate_matches(
    positions: Tensor, certainty: Tensor, points: Tensor, *, size: int
) -> tuple[Tensor, Tensor]:
    """Move points by the interpolated offsets of the matched cells around them.

    The offset is the mean over the four nearest cells, weighted bilinearly and by certainty. It is
    continuous, and exact for shifts. Beyond the outermost centres it is constant.

    Args:
        positions: ``(P, N, 2)`` of :func:`match_cells`.
        certainty: ``(P, N)`` of :func:`match_cells`.
        points: ``(P, K, 2)`` x and y in [0, 1] of the source box.
        size: S, cells per side.

    Returns:
        Points ``(P, K, 2)`` relative to the target box, outside [0, 1] where an offset leaves it,
        and certainties ``(P, K)`` in [0, 1].

    Raises:
        ValueError: if shapes disagree.
    """
    check_shapes(
        positions=(positions, f"P {size**2} 2"),
        certainty=(certainty, f"P {size**2}"),
        points=(points, "P K 2"),
    )
    centres = (torch.arange(size, device=points.device, dtype=points.dtype) + 0.5) / size
    cells = torch.cartesian_prod(centres, centres).flip(1)  # (N, 2), x first
    weights = certainty[..., None]
    field = torch.cat([(positions - cells) * weights, weights], 2)  # (P, N, 3)
    sampled = F.grid_sample(
        field.mT.unflatten(2, (size, size)),
        2 * points[:, None] - 1,
        padding_mode="border",
        align_corners=False,
    )[:, :, 0].mT  # (P, K, 3)
    offsets, weights = sampled.split([2, 1], 2)
    return points + offsets / weights.clamp_min(_tiny(points)), weights[..., 0]


def _normalise_rows(plan: Tensor) -> Tensor:
    return plan / plan.sum(2, keepdim=True).clamp_min(_tiny(plan))


def _tiny(tensor: Tensor) -> float:
    return torch.finfo(tensor.dtype).tiny


def _window_around(rows: Tensor, mode: Tensor, size: int) -> Tensor:
    """Gather the 3 x 3 cells around each row's mode, ``(P, N, 3, 3)``; 0 outside the grid."""
    width = size + 2
    padded = F.pad(rows.unflatten(2, (size, size)), (1, 1, 1, 1)).flatten(2)
    steps = torch.arange(3, device=rows.device)
    corner = mode.div(size, rounding_mode="floor") * width + mode % size
    indices = corner[..., None] + (steps[:, None] * width + steps).flatten()
    return padded.gather(2, indices).unflatten(2, (3, 3))


def _parabola_maximum(values: Tensor) -> Tensor:
    """Locate the maximum of the parabola through three logarithms, in [-0.5, 0.5]."""
    left, middle, right = values.clamp_min(_tiny(values)).log().unbind(-1)
    curvature = left - 2 * middle + right
    has_maximum = (values.amin(-1) > 0) & (curvature < 0)
    return torch.where(has_maximum, (left - right) / (2 * curvature), 0)
