"""Refined masks in the pixels of a picture, each in the window of its box alone."""

from __future__ import annotations

import torch
from torch import Tensor

from .crops import paste_regions

#: first column and row, last ones (exclusive)
Window = tuple[int, int, int, int]


def box_windows(boxes: Tensor, size: tuple[int, int]) -> list[Window]:
    """Find the pixels whose centres lie in the boxes.

    Args:
        boxes: ``(N, 4)`` ``(x1, y1, x2, y2)`` in pixels, clipped to the picture.
        size: ``(H, W)`` of the picture.

    Returns:
        N windows. A box that holds no centre has the pixel or line in its middle.
    """
    limits = boxes.new_tensor([size[1] - 1, size[0] - 1])
    low, high = boxes[:, :2], boxes[:, 2:]
    first, end = (low - 0.5).ceil(), (high - 0.5).ceil()
    middle = ((low + high) / 2).floor().minimum(limits)
    empty = end <= first
    spans = torch.where(empty, middle, first), torch.where(empty, middle + 1, end)
    return [tuple(row) for row in torch.cat(spans, 1).long().tolist()]


def paste_window(grid: Tensor, region: Tensor, window: Window) -> Tensor:
    """Lay a mask into its window.

    Args:
        grid: ``(S, S)`` probabilities of the foreground.
        region: ``(4,)`` what the grid lies over, in pixels.
        window: of the box.

    Returns:
        ``(h, w)`` boolean pixels of the window; where none reaches a half, the likeliest.
    """
    x1, y1, x2, y2 = window
    shifted = region - region.new_tensor([x1, y1, x1, y1])
    probs = paste_regions(grid[None], shifted[None], (y2 - y1, x2 - x1))[0]
    best = probs.max()
    return (probs > 0.5) | ((best <= 0.5) & (probs >= best / 2))
