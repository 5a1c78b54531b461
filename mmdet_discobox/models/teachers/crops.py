"""Crop regions of images and masks to grids of fixed size, and paste grids back."""

from __future__ import annotations

from math import isqrt

import torch
from mmcv.ops import roi_align
from torch import Tensor

from mmdet_discobox.functional import without_autocast

#: pixels of boolean masks that are converted to float32 at once: 128 MB
_PIXELS_AT_ONCE = 2**25
#: samples of a region on a CPU, where mmcv's operator takes 32 bytes for each: 512 MB
_SAMPLES = 2**24
#: ``(x1, y1, x2, y2)`` in whole pixels, end exclusive
Window = tuple[int, int, int, int]


def crop_regions(maps: Tensor, regions: Tensor, map_inds: Tensor, size: int) -> Tensor:
    """Average each map over the cells of a grid laid over a region (RoIAlign).

    The number of samples per cell is the number of pixels it covers, so large regions are averaged
    without aliasing. On a CPU, regions of more than 16 million pixels are sampled 4096 times along
    each side, because memory grows with the samples. Differentiable in ``maps``.

    Args:
        maps: ``(M, C, H, W)``, any floating type; computed in float32.
        regions: ``(N, 4)`` ``(x1, y1, x2, y2)`` in pixels of ``maps``.
        map_inds: ``(N,)`` index of the map of each region.
        size: side S of the grid.

    Returns:
        ``(N, C, S, S)`` float32. Cells outside the map are 0.
    """
    if not len(regions):  # mmcv's operator would launch an empty grid, which is a CUDA error
        return maps.new_zeros(0, maps.shape[1], size, size, dtype=torch.float)
    rois = torch.cat([map_inds[:, None].float(), regions.float()], 1)  # (N, 5)
    maps = maps.float().contiguous()  # mmcv's operator assumes it without checking it
    if maps.is_cuda or 4 * maps.shape[-2] * maps.shape[-1] <= _SAMPLES:  # regions have margins
        return _align(maps, rois, size)
    cells = ((rois[:, 3:] - rois[:, 1:3]) / size).ceil().clamp_min(1)
    large = cells.prod(1) * size**2 > _SAMPLES
    crops = maps.new_zeros(len(rois), maps.shape[1], size, size)
    crops[~large] = _align(maps, rois[~large], size)
    crops[large] = _align(maps, rois[large], size, samples=max(1, isqrt(_SAMPLES) // size))
    return crops


def _align(maps: Tensor, rois: Tensor, size: int, *, samples: int = 0) -> Tensor:
    """Sample each cell ``samples`` times along each side; 0: once for each pixel it covers."""
    return roi_align(maps, rois, (size, size), 1.0, samples, "avg", True)


def crop_masks(masks: Tensor, regions: Tensor, size: int) -> Tensor:
    """Average each mask over the cells of a grid laid over its region.

    Masks are converted to float32 some at a time: a mask of 12 million pixels takes 48 MB.

    Args:
        masks: ``(N, H, W)`` boolean.
        regions: ``(N, 4)`` ``(x1, y1, x2, y2)`` in pixels, one for each mask.
        size: side S of the grid.

    Returns:
        ``(N, S, S)`` float32 fraction of each cell that is foreground.
    """
    at_once = max(1, _PIXELS_AT_ONCE // max(1, masks.shape[-2] * masks.shape[-1]))
    rows = torch.arange(min(at_once, len(masks)), device=masks.device)
    parts = [
        crop_regions(part[:, None], part_regions, rows[: len(part)], size)[:, 0]
        for part, part_regions in zip(masks.split(at_once), regions.split(at_once), strict=True)
    ]
    return torch.cat(parts)


def paste_regions(grids: Tensor, regions: Tensor, size: tuple[int, int]) -> Tensor:
    """Paste grids into their regions, the inverse of :func:`crop_regions`.

    Interpolates bilinearly between cell centres; the outermost cells extend to the region's edge.

    Args:
        grids: ``(N, S, S)``.
        regions: ``(N, 4)`` ``(x1, y1, x2, y2)`` in pixels of the map.
        size: ``(H, W)`` of the map.

    Returns:
        ``(N, H, W)`` float32, 0 at pixels whose centre lies outside the region.
    """
    x1, y1, x2, y2 = regions.float().unbind(-1)
    rows = _interpolation_weights(y1, y2, grids.shape[-2], size[0])  # (N, H, S)
    cols = _interpolation_weights(x1, x2, grids.shape[-1], size[1])  # (N, W, S)
    with without_autocast(grids):
        # r, c: rows and columns of the grid; bilinear interpolation is one matrix per axis
        return torch.einsum("nhr,nrc,nwc->nhw", rows, grids.float(), cols)


def _interpolation_weights(start: Tensor, end: Tensor, cells: int, pixels: int) -> Tensor:
    """Compute the linear weights of the cells for each pixel, ``(N, pixels, cells)``."""
    centres = torch.arange(pixels, device=start.device) + 0.5
    fraction = (centres - start[:, None]) / (end - start).clamp_min(1e-6)[:, None]  # (N, pixels)
    position = (fraction * cells - 0.5).clamp(0, cells - 1)
    distance = (position[..., None] - torch.arange(cells, device=start.device)).abs()
    covered = (fraction >= 0) & (fraction < 1)
    return (1 - distance).clamp_min(0) * covered[..., None]


def box_windows(boxes: Tensor, size: tuple[int, int]) -> list[Window]:
    """Compute the window of pixels whose centres lie in each box.

    Args:
        boxes: ``(N, 4)`` ``(x1, y1, x2, y2)`` in pixels, clipped to the image.
        size: ``(H, W)`` of the image.

    Returns:
        N windows of at least one pixel: along an axis without a pixel centre in the box, the window
        is the pixel in the middle.
    """
    limits = boxes.new_tensor([size[1] - 1, size[0] - 1])
    low, high = boxes[:, :2], boxes[:, 2:]
    first, end = (low - 0.5).ceil(), (high - 0.5).ceil()
    middle = ((low + high) / 2).floor().minimum(limits)
    empty = end <= first
    spans = torch.where(empty, middle, first), torch.where(empty, middle + 1, end)
    return [tuple(row) for row in torch.cat(spans, 1).long().tolist()]


def paste_window(grid: Tensor, region: Tensor, window: Window) -> Tensor:
    """Paste one mask into the window of its box and threshold it.

    Args:
        grid: ``(S, S)`` foreground probabilities.
        region: ``(4,)`` region of the grid, in pixels.
        window: window of the box, from :func:`box_windows`.

    Returns:
        ``(h, w)`` boolean pixels of the window. If no probability exceeds 0.5, the threshold is
        half of the largest one.
    """
    x1, y1, x2, y2 = window
    shifted = region - region.new_tensor([x1, y1, x1, y1])
    probs = paste_regions(grid[None], shifted[None], (y2 - y1, x2 - x1))[0]
    maximum = probs.max()
    return (probs > 0.5) | ((maximum <= 0.5) & (probs >= maximum / 2))


def grid_centres(regions: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Compute the pixel coordinates of the cell centres of :func:`crop_regions`.

    Args:
        regions: ``(N, 4)``.
        size: side S of the grid.

    Returns:
        ``x`` of the columns and ``y`` of the rows, each ``(N, S)``.
    """
    steps = (torch.arange(size, device=regions.device) + 0.5) / size  # (S,)
    x1, y1, x2, y2 = regions[:, :, None].unbind(1)
    return x1 + (x2 - x1) * steps, y1 + (y2 - y1) * steps


def centres_inside(centres: tuple[Tensor, Tensor], boxes: Tensor) -> Tensor:
    """Mark the grid cells whose centres lie in the boxes.

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


def resample_grids(grids: Tensor, source: Tensor, target: Tensor, size: int) -> Tensor:
    """Resample grids over some regions on grids over other regions.

    Args:
        grids: ``(G, s, s)``.
        source: ``(G, 4)`` regions of ``grids``, in pixels.
        target: ``(G, 4)`` regions of the result, in pixels.
        size: cells along a side of the result.

    Returns:
        ``(G, size, size)``; 0 outside ``source``.
    """
    origin, end = source.split(2, 1)
    scale = grids.shape[-1] / (end - origin).clamp_min(1e-6)
    target_cells = (target - origin.repeat(1, 2)) * scale.repeat(1, 2)
    rows = torch.arange(len(grids), device=grids.device)
    return crop_regions(grids[:, None], target_cells, rows, size)[:, 0]


def average_grids(grids: Tensor, source: Tensor, target: Tensor, size: int) -> Tensor:
    """Average grids over the cells of regions that are much larger than those of the grids.

    Time and memory do not depend on the regions, whereas :func:`resample_grids` takes a sample for
    each cell of ``grids`` that ``target`` could hold. It interpolates, and this function does not:
    every cell counts by the area that it shares with the cell of the result.

    Args:
        grids: ``(G, s, s)``.
        source: ``(G, 4)`` regions of ``grids``, in pixels.
        target: ``(G, 4)`` regions of the result, in pixels.
        size: cells along a side of the result.

    Returns:
        ``(G, size, size)`` float32; 0 outside ``source``.
    """
    x1, y1, x2, y2 = source.float().unbind(1)
    left, top, right, bottom = target.float().unbind(1)
    rows = _shared_lengths(y1, y2, grids.shape[-2], top, bottom, size)  # (G, size, s)
    cols = _shared_lengths(x1, x2, grids.shape[-1], left, right, size)  # (G, size, s)
    with without_autocast(grids):
        return torch.einsum("nyr,nrc,nxc->nyx", rows, grids.float(), cols)


def _shared_lengths(
    start: Tensor, end: Tensor, cells: int, low: Tensor, high: Tensor, size: int
) -> Tensor:
    """Compute the share of each target cell along an axis that each source cell covers."""
    steps = torch.arange(size + 1, device=start.device) / size
    edges = low[:, None] + (high - low)[:, None] * steps - start[:, None]  # (G, size + 1)
    edges = edges * cells / (end - start).clamp_min(1e-6)[:, None]  # in source cells
    # the part of each source cell that lies before each edge
    before = (edges[..., None] - torch.arange(cells, device=start.device)).clamp(0, 1)
    return before.diff(dim=1) / edges.diff(dim=1).clamp_min(1e-6)[..., None]
