"""Boxes on pixel grids.

Boxes are ``(x1, y1, x2, y2)`` in units of grid cells, where cell ``(r, c)`` covers the square
``[c, c + 1) x [r, r + 1)``. All functions compare coordinates: no loop over boxes, any device.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .checks import check_shapes


def box_projections(boxes: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Mark the rows and columns covered by a box: the bag labels ``y_i`` of Sec. 3.1.

    A row is covered if its centre line is. The row of the box centre always counts as covered, so
    a box thinner than a cell still has one positive row and column.

    Args:
        boxes: ``(N, 4)`` boxes in cells; they may extend beyond the grid.
        size: ``(H, W)`` of the grid.

    Returns:
        ``(N, H)`` and ``(N, W)`` boolean.
    """
    check_shapes(boxes=(boxes, "N 4"))
    x1, y1, x2, y2 = boxes.float().unbind(-1)
    return _covered_cells(y1, y2, size[0]), _covered_cells(x1, x2, size[1])


def _covered_cells(start: Tensor, end: Tensor, length: int) -> Tensor:
    cells = torch.arange(length, device=start.device)
    centres = cells + 0.5
    covered = (start[:, None] <= centres) & (centres < end[:, None])  # (N, L)
    middle = ((start + end) / 2).floor().clamp(0, length - 1)
    return covered | (cells == middle[:, None])


def box_masks(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Rasterise boxes as the outer product of :func:`box_projections`.

    Args:
        boxes: ``(N, 4)`` boxes in cells.
        size: ``(H, W)`` of the grid.

    Returns:
        ``(N, H, W)`` boolean, at least one cell per box.
    """
    rows, cols = box_projections(boxes, size)
    return rows[:, :, None] & cols[:, None, :]


def cover_centres(boxes: Tensor) -> Tensor:
    """Mark the boxes that cover the centre of any cell.

    The others are thinner than a cell: :func:`box_masks` gives them the cells of their middle, at
    whose centres another mask of the object need not be foreground.

    Args:
        boxes: ``(N, 4)`` boxes in cells, clipped to the grid.

    Returns:
        ``(N,)`` boolean.
    """
    check_shapes(boxes=(boxes, "N 4"))
    first, end = (boxes - 0.5).ceil().split(2, 1)
    return (first < end).all(1)


def masks_to_boxes(masks: Tensor) -> Tensor:
    """Compute the tight box of each mask.

    Args:
        masks: ``(N, H, W)`` boolean.

    Returns:
        ``(N, 4)`` float32 ``(x1, y1, x2, y2)``, end coordinates exclusive (the box of one pixel is
        1 x 1). The box of an empty mask is all zeros.
    """
    check_shapes(masks=(masks, "N H W"))
    x1, x2 = _first_and_end(masks.any(-2))
    y1, y2 = _first_and_end(masks.any(-1))
    return torch.stack([x1, y1, x2, y2], -1).float()


def _first_and_end(occupied: Tensor) -> tuple[Tensor, Tensor]:
    length = occupied.shape[-1]
    cells = torch.arange(length, device=occupied.device)
    first = torch.where(occupied, cells, length).amin(-1)
    end = torch.where(occupied, cells + 1, 0).amax(-1)
    return torch.minimum(first, end), end


def expand_boxes(boxes: Tensor, margin: float) -> Tensor:
    """Enlarge each box by a fraction of its own width and height on every side.

    Args:
        boxes: ``(N, 4)``.
        margin: fraction of the width or height added on each side.

    Returns:
        ``(N, 4)``.
    """
    check_shapes(boxes=(boxes, "N 4"))
    padding = (boxes[:, 2:] - boxes[:, :2]) * margin  # (N, 2)
    return torch.cat([boxes[:, :2] - padding, boxes[:, 2:] + padding], -1)
