"""The share of the boxes that get a cell of SOLOv2's grids, by the assignment of the training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from mmdet_discobox.annotation_files.box_table import BoxTable
from mmdet_discobox.models.networks.solov2.cell_assignment import assign_cells
from mmdet_discobox.structures import BoxObjects

from .training_settings import TrainingSettings

Ranges = Sequence[tuple[float, float]]

#: images that are counted; of more, some are drawn
_MAX_IMAGES = 20
#: mmdet pads the sides of the images to a multiple of this
_DIVISOR = 32


class CellShares:
    """Count the boxes that get a cell, for several ranges and grids.

    Objects of one size compete for the cells of one level, and an object without a cell is never
    trained.

    Args:
        table: the boxes.
        settings: settings of the training.
    """

    def __init__(self, table: BoxTable, settings: TrainingSettings) -> None:
        self.pos_scale = settings.pos_scale
        self._known: dict[tuple[Any, Any], float] = {}
        self._images: list[tuple[BoxObjects, tuple[int, int]]] = []
        factors = settings.scale_factors(table.image_sizes)
        inds = np.flatnonzero(table.trained)
        inds = inds[np.argsort(table.image_inds[inds], kind="stable")]
        groups = np.split(inds, np.flatnonzero(np.diff(table.image_inds[inds])) + 1)
        groups = [group for group in groups if len(group)]
        if len(groups) > _MAX_IMAGES:
            drawn = np.random.default_rng(0).choice(len(groups), _MAX_IMAGES, replace=False)
            groups = [groups[index] for index in drawn]
        for group in groups:
            image = table.image_inds[group[0]]
            size = table.image_sizes[image] * factors[image]
            corners = (table.corners[group] * factors[image]).clip(0, np.tile(size, 2))
            self._images.append((_objects(corners, size), _frame(size)))

    def __call__(self, ranges: Ranges, grids: Sequence[int]) -> float:
        """Return the share of the boxes with at least one cell, 0 without boxes."""
        key = (tuple(ranges), tuple(grids))
        if key not in self._known:
            self._known[key] = self._share(ranges, grids)
        return self._known[key]

    def _share(self, ranges: Ranges, grids: Sequence[int]) -> float:
        found = total = 0
        for objects, frame in self._images:
            cells = assign_cells(
                objects, frame=frame, num_grids=grids, scale_ranges=ranges,
                pos_scale=self.pos_scale, num_classes=1,
            )  # fmt: skip
            found += len(cells.object_inds.unique())
            total += len(objects)
        return found / total if total else 0.0


def _objects(corners: np.ndarray, size: np.ndarray) -> BoxObjects:
    zeros = torch.zeros(len(corners), dtype=torch.long)
    boxes = torch.from_numpy(corners.astype(np.float32))
    sizes = torch.tensor(np.array([size[::-1]]), dtype=torch.float32)
    return BoxObjects(boxes, zeros, zeros, image_sizes=sizes, image_ids=zeros - 1)


def _frame(size: np.ndarray) -> tuple[int, int]:
    width, height = (int(np.ceil(side / _DIVISOR)) * _DIVISOR for side in size)
    return height, width
