"""Positive places of a batch and their objects; a place is a cell, an anchor or a point."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor

from mmdet_discobox.structures import BoxObjects

Self = TypeVar("Self", bound="Positives")


@dataclass(frozen=True)
class Positives:
    """The positive places of a batch, images concatenated in order.

    Attributes:
        object_inds: ``(N,)`` object of each place.
        place_inds: ``(N,)`` index of the place among the places of all levels of its image.
        image_counts: number of positive places of each image; the sum is N.
    """

    object_inds: Tensor
    place_inds: Tensor
    image_counts: list[int]

    def subsample(self: Self, limit: int) -> Self:
        """Keep at most ``limit`` evenly spaced positive places of each image.

        If places are sorted by object, each object keeps about its share. Deterministic, unlike the
        random choice of YOLACT and CondInst.
        """
        if max(self.image_counts, default=0) <= limit:
            return self
        kept, start = [], 0
        for count in self.image_counts:
            share = min(count, limit)
            steps = torch.arange(share, device=self.object_inds.device)
            kept.append(start + steps * count // max(share, 1))
            start += count
        inds = torch.cat(kept)
        return replace(
            self,
            object_inds=self.object_inds[inds],
            place_inds=self.place_inds[inds],
            image_counts=[min(count, limit) for count in self.image_counts],
        )

    def select(self, values: Tensor, objects: BoxObjects) -> Tensor:
        """Select the predictions at the positive places.

        Args:
            values: ``(B, places, C)`` predictions of all levels.
            objects: the objects that were assigned.

        Returns:
            ``(N, C)``.
        """
        return values[objects.image_inds[self.object_inds], self.place_inds]
