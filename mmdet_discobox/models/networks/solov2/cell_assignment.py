"""Assignment of SOLOv2's grid cells to objects, vectorised over both.

SOLOv2 assigns the cells around an object's centre of mass, at every level whose scale range
contains the object. Without masks, the centre of the box replaces the centre of mass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmdet_discobox.models.networks.positives import Positives
from mmdet_discobox.structures import BoxObjects


@dataclass(frozen=True)
class CellAssignment(Positives):
    """Positive cells of a batch.

    Attributes:
        labels: ``(B, cells)`` class of each cell, ``num_classes`` for background.
    """

    labels: Tensor


def assign_cells(
    objects: BoxObjects,
    *,
    frame: tuple[int, int],
    num_grids: Sequence[int],
    scale_ranges: Sequence[tuple[float, float]],
    pos_scale: float,
    num_classes: int,
) -> CellAssignment:
    """Assign grid cells to objects like SOLOv2.

    Departure: a cell in the centre regions of two objects is assigned to the later one only. Stock
    SOLOv2 trains its class for the later object but its mask for both. Needs one host
    synchronisation, for the number of positive cells.

    Args:
        objects: the objects of the batch.
        frame: ``(height, width)`` in pixels of the padded images, which the grids divide.
        num_grids: cells along each side, per level.
        scale_ranges: smallest and largest ``sqrt(width * height)`` in pixels, per level.
        pos_scale: side of the centre region as a fraction of the side of the box.
        num_classes: number of classes.
    """
    candidates = _candidates(objects, frame, num_grids, scale_ranges, pos_scale)  # (G, cells)
    order = torch.arange(1, len(objects) + 1, device=candidates.device)
    num_images = len(objects.image_sizes)
    ranks = candidates * order[:, None]
    image_inds = objects.image_inds[:, None].expand_as(ranks)
    owners = candidates.new_zeros(num_images, candidates.shape[1], dtype=torch.long)
    owners.scatter_reduce_(0, image_inds, ranks, "amax")  # (B, cells), 0 for background
    classes = torch.cat([objects.labels.new_full((1,), num_classes), objects.labels])
    counts = (owners > 0).sum(1).tolist()
    # by object, then by cell; cells without an owner come last
    ranked, places = owners.masked_fill(owners == 0, len(objects) + 1).flatten().sort(stable=True)
    total = sum(counts)
    return CellAssignment(
        labels=classes[owners],
        object_inds=ranked[:total] - 1,
        place_inds=places[:total] % candidates.shape[1],
        image_counts=counts,
    )


def _candidates(
    objects: BoxObjects,
    frame: tuple[int, int],
    num_grids: Sequence[int],
    scale_ranges: Sequence[tuple[float, float]],
    pos_scale: float,
) -> Tensor:
    """Mark the cells of the centre region of each object, ``(G, cells)`` over all levels."""
    x1, y1, x2, y2 = objects.boxes.unbind(1)
    scales = ((x2 - x1) * (y2 - y1)).sqrt()
    levels = []
    for grid, (smallest, largest) in zip(num_grids, scale_ranges, strict=True):
        rows = _centre_span(y1, y2, frame[0], grid, pos_scale)  # (G, grid)
        cols = _centre_span(x1, x2, frame[1], grid, pos_scale)
        in_range = (smallest <= scales) & (scales <= largest)
        marked = rows[:, :, None] & cols[:, None, :] & in_range[:, None, None]
        levels.append(marked.flatten(1))
    return torch.cat(levels, 1)


def _centre_span(start: Tensor, end: Tensor, length: int, grid: int, pos_scale: float) -> Tensor:
    """Mark the cells along one axis that the centre region of a box touches, ``(G, grid)``.

    The region extends at most one cell beyond the cell of the centre.
    """
    centre, half = (start + end) / 2, (end - start) / 2 * pos_scale
    cell = length / grid
    middle = (centre / cell).floor()
    first = ((centre - half) / cell).floor().maximum(middle - 1).clamp_min(0)
    last = ((centre + half) / cell).floor().minimum(middle + 1).clamp_max(grid - 1)
    cells = torch.arange(grid, device=start.device)
    return (first[:, None] <= cells) & (cells <= last[:, None])
