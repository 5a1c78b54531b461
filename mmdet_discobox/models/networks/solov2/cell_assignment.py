"""SOLOv2's assignment of grid cells to objects, from boxes, without a loop over either.

SOLOv2 trains, at every pyramid level whose scale range holds the object, the cells around the
object's centre of mass. With boxes alone that centre is the centre of the box.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmdet_discobox.models.networks.positives import Positives
from mmdet_discobox.structures import BoxObjects

#: a centre region never reaches further than one cell from the cell of the centre
_REACH = (-1, 0, 1)


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
    """Assign cells to objects as SOLOv2 does.

    Where two objects claim one cell, the later one takes it, label and mask both (stock SOLOv2
    trains the cell's label for the later and its mask for both). This needs one host
    synchronisation, for the number of positive cells.

    Args:
        objects: the objects of the batch.
        frame: ``(height, width)`` in pixels that the grids divide: the padded image.
        num_grids: cells along each side, per level.
        scale_ranges: smallest and largest ``sqrt(width * height)`` in pixels, per level.
        pos_scale: side of the centre region as a share of the box.
        num_classes: number of classes.

    Returns:
        The positive cells.
    """
    claims = _claims(objects, frame, num_grids, scale_ranges, pos_scale)  # (G, cells)
    order = torch.arange(1, len(objects) + 1, device=claims.device)
    num_images = len(objects.image_sizes)
    owners = claims.new_zeros(num_images, claims.shape[1], dtype=torch.long)
    ranks = claims * order[:, None]
    homes = objects.image_inds[:, None].expand_as(ranks)
    owners.scatter_reduce_(0, homes, ranks, "amax")  # (B, cells), 0: nobody
    names = torch.cat([objects.labels.new_full((1,), num_classes), objects.labels])
    positive = claims & (ranks == owners[objects.image_inds])
    counts = (owners > 0).sum(1).tolist()
    flat = positive.flatten().to(torch.uint8).argsort(descending=True, stable=True)[: sum(counts)]
    return CellAssignment(
        labels=names[owners],
        object_inds=flat // claims.shape[1],
        place_inds=flat % claims.shape[1],
        image_counts=counts,
    )


def _claims(
    objects: BoxObjects,
    frame: tuple[int, int],
    num_grids: Sequence[int],
    scale_ranges: Sequence[tuple[float, float]],
    pos_scale: float,
) -> Tensor:
    """Cells ``(G, cells)`` that each object would like, over all levels."""
    x1, y1, x2, y2 = objects.boxes.unbind(1)
    scales = ((x2 - x1) * (y2 - y1)).sqrt()
    levels = []
    for grid, (smallest, largest) in zip(num_grids, scale_ranges, strict=True):
        rows = _centre_span(y1, y2, frame[0], grid, pos_scale)  # (G, grid)
        cols = _centre_span(x1, x2, frame[1], grid, pos_scale)
        fits = (smallest <= scales) & (scales <= largest)
        claimed = rows[:, :, None] & cols[:, None, :] & fits[:, None, None]
        levels.append(claimed.flatten(1))
    return torch.cat(levels, 1)


def _centre_span(start: Tensor, end: Tensor, length: int, grid: int, pos_scale: float) -> Tensor:
    """Cells ``(G, grid)`` along one axis that the centre region of a box touches."""
    centre, half = (start + end) / 2, (end - start) / 2 * pos_scale
    cell = length / grid
    middle = (centre / cell).floor()
    first = ((centre - half) / cell).floor().maximum(middle + _REACH[0]).clamp_min(0)
    last = ((centre + half) / cell).floor().minimum(middle + _REACH[-1]).clamp_max(grid - 1)
    cells = torch.arange(grid, device=start.device)
    return (first[:, None] <= cells) & (cells <= last[:, None])
