"""Positive places of a batch: cells, anchors or points, each tied to its object."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor

from mmdet_discobox.structures import BoxObjects

Self = TypeVar("Self", bound="Positives")


@dataclass(frozen=True)
class Positives:
    """An assignment of places to objects, over the concatenated places of all levels.

    Attributes:
        object_inds: ``(N,)`` object of each positive place, images in order.
        place_inds: ``(N,)`` index of the place among those of its image.
        image_counts: positive places of each image; they add up to N.
    """

    object_inds: Tensor
    place_inds: Tensor
    image_counts: list[int]

    def thin(self: Self, limit: int) -> Self:
        """Keep at most ``limit`` positive places of each image, evenly spaced among them.

        Every object keeps about its share, and no random number is drawn (departure: YOLACT and
        CondInst draw them), so that a batch has one loss.
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

    def pick(self, values: Tensor, objects: BoxObjects) -> Tensor:
        """Select the values at the positive places.

        Args:
            values: ``(B, places, C)``.
            objects: the objects that were assigned.

        Returns:
            ``(N, C)``.
        """
        return values[objects.image_inds[self.object_inds], self.place_inds]
