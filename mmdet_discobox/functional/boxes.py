"""Boxes on pixel grids.

Boxes are ``(x1, y1, x2, y2)`` in units of grid cells, where cell ``(r, c)`` covers the square
``[c, c + 1) x [r, r + 1)``. Everything is done by comparing coordinates: no loop over boxes, no
rendering, any device.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .checks import check_shapes


def box_projections(boxes: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Rows and columns of a grid that a box covers: the bag labels ``y_i`` of Sec. 3.1.

    A row belongs to the box if its centre line does. The row of the box's own centre always
    belongs to it, so a box thinner than a cell still has one positive row and column.

    Args:
        boxes: ``(N, 4)`` boxes in cells; they may reach past the grid.
        size: ``(H, W)`` of the grid.

    Returns:
        ``(N, H)`` and ``(N, W)`` boolean.
    """
    check_shapes(boxes=(boxes, "N 4"))
    x1, y1, x2, y2 = boxes.float().unbind(-1)
    return _cover(y1, y2, size[0]), _cover(x1, x2, size[1])


def _cover(start: Tensor, end: Tensor, length: int) -> Tensor:
    cells = torch.arange(length, device=start.device)
    centres = cells + 0.5
    spanned = (start[:, None] <= centres) & (centres < end[:, None])  # (N, L)
    middle = ((start + end) / 2).floor().clamp(0, length - 1)
    return spanned | (cells == middle[:, None])


def box_masks(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Fill boxes: the outer product of :func:`box_projections`.

    Args:
        boxes: ``(N, 4)`` boxes in cells.
        size: ``(H, W)`` of the grid.

    Returns:
        ``(N, H, W)`` boolean, at least one cell each.
    """
    rows, cols = box_projections(boxes, size)
    return rows[:, :, None] & cols[:, None, :]


def masks_to_boxes(masks: Tensor) -> Tensor:
    """Tight boxes around masks.

    Args:
        masks: ``(N, H, W)`` boolean.

    Returns:
        ``(N, 4)`` float32 ``(x1, y1, x2, y2)``, the far edges exclusive (a mask of one pixel has
        a box of size 1 x 1). An empty mask gives zeros.
    """
    check_shapes(masks=(masks, "N H W"))
    x1, x2 = _extent(masks.any(-2))
    y1, y2 = _extent(masks.any(-1))
    return torch.stack([x1, y1, x2, y2], -1).float()


def _extent(hits: Tensor) -> tuple[Tensor, Tensor]:
    length = hits.shape[-1]
    cells = torch.arange(length, device=hits.device)
    first = torch.where(hits, cells, length).amin(-1)
    last = torch.where(hits, cells + 1, 0).amax(-1)
    return torch.minimum(first, last), last


def expand_boxes(boxes: Tensor, margin: float) -> Tensor:
    """Grow each box by a share of its own width and height on every side.

    Args:
        boxes: ``(N, 4)``.
        margin: share of the side that is added at each end; 0 leaves the boxes alone.

    Returns:
        ``(N, 4)``.
    """
    check_shapes(boxes=(boxes, "N 4"))
    grow = (boxes[:, 2:] - boxes[:, :2]) * margin  # (N, 2)
    return torch.cat([boxes[:, :2] - grow, boxes[:, 2:] + grow], -1)
