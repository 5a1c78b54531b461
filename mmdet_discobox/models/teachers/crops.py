"""Regions of images and masks on a grid of fixed size, and the way back."""

from __future__ import annotations

import torch
from mmcv.ops import roi_align
from torch import Tensor

from mmdet_discobox.functional import without_autocast


def crop_regions(maps: Tensor, regions: Tensor, map_inds: Tensor, size: int) -> Tensor:
    """Average each map over the cells of a grid laid over a region (RoIAlign).

    Regions larger than the grid are averaged and not skipped over: each cell takes as many
    samples as it covers pixels. Differentiable in ``maps``.

    Args:
        maps: ``(M, C, H, W)``, any floating type; computed in float32.
        regions: ``(N, 4)`` ``(x1, y1, x2, y2)`` in pixels of ``maps``.
        map_inds: ``(N,)`` which map each region lies in.
        size: side S of the grid.

    Returns:
        ``(N, C, S, S)`` float32. Cells beyond the map are 0.
    """
    if not len(regions):  # mmcv's operator would launch an empty grid, which is an error of CUDA
        return maps.new_zeros(0, maps.shape[1], size, size, dtype=torch.float)
    rois = torch.cat([map_inds[:, None].float(), regions.float()], 1)  # (N, 5)
    # mmcv's operator reads memory as if it were contiguous, and does not check that it is
    return roi_align(maps.float().contiguous(), rois, (size, size), 1.0, 0, "avg", True)


def paste_regions(grids: Tensor, regions: Tensor, size: tuple[int, int]) -> Tensor:
    """Lay grids over regions back into pixels: the way back from :func:`crop_regions`.

    Bilinear between the centres of the cells; the outermost cells reach to the region's edge.

    Args:
        grids: ``(N, S, S)``.
        regions: ``(N, 4)`` ``(x1, y1, x2, y2)`` in pixels of the map.
        size: ``(H, W)`` of the map.

    Returns:
        ``(N, H, W)`` float32, 0 at pixels whose centre lies outside the region.
    """
    x1, y1, x2, y2 = regions.float().unbind(-1)
    rows = _interpolation(y1, y2, grids.shape[-2], size[0])  # (N, H, S)
    cols = _interpolation(x1, x2, grids.shape[-1], size[1])  # (N, W, S)
    with without_autocast(grids):
        # r, c: rows and columns of the grid; bilinear interpolation is one matrix per axis
        return torch.einsum("nhr,nrc,nwc->nhw", rows, grids.float(), cols)


def _interpolation(start: Tensor, end: Tensor, cells: int, pixels: int) -> Tensor:
    """``(N, pixels, cells)`` weights of the cells for each pixel; a hat around each centre."""
    centres = torch.arange(pixels, device=start.device) + 0.5
    share = (centres - start[:, None]) / (end - start).clamp_min(1e-6)[:, None]  # (N, pixels)
    position = (share * cells - 0.5).clamp(0, cells - 1)
    distance = (position[..., None] - torch.arange(cells, device=start.device)).abs()
    covered = (share >= 0) & (share < 1)
    return (1 - distance).clamp_min(0) * covered[..., None]


def grid_centres(regions: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Pixel coordinates of the cell centres of :func:`crop_regions`.

    Args:
        regions: ``(N, 4)``.
        size: side S of the grid.

    Returns:
        ``x`` of the columns and ``y`` of the rows, each ``(N, S)``.
    """
    steps = (torch.arange(size, device=regions.device) + 0.5) / size  # (S,)
    x1, y1, x2, y2 = regions[:, :, None].unbind(1)
    return x1 + (x2 - x1) * steps, y1 + (y2 - y1) * steps


def within(centres: tuple[Tensor, Tensor], boxes: Tensor) -> Tensor:
    """Cells of the grids whose centres lie in the boxes.

    Args:
        centres: ``x`` and ``y``, each ``(N, S)``, from :func:`grid_centres`.
        boxes: ``(N, 4)`` in pixels.

    Returns:
        ``(N, S, S)`` boolean.
    """
    x, y = centres
    x1, y1, x2, y2 = boxes[:, :, None].unbind(1)
    rows, cols = (y1 <= y) & (y < y2), (x1 <= x) & (x < x2)
    return rows[:, :, None] & cols[:, None, :]
