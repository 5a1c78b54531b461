"""Coarse masks of given boxes, from a box labeller that looks at one crop at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations, cycle

import torch
from torch import Tensor

from mmdet_discobox.functional import expand_boxes
from mmdet_discobox.models.detectors import contiguous_operators, look
from mmdet_discobox.models.networks import DiscoBoxLabeler
from mmdet_discobox.models.teachers import crop_regions, resample_grids
from mmdet_discobox.structures import BoxObjects

from .boxed_image import BoxedImage
from .coarse_masks import CoarseMasks

#: crops that the network sees at a time: on a CPU as many as its caches hold
_CROPS, _CROPS_ON_GPU = 8, 64


class CropMaskPredictor:
    """Predict the coarse masks of given boxes with a :class:`.DiscoBoxLabeler`.

    Every box is cut out of the image at its full resolution. The logits of crops with several
    margins are averaged; every second one is mirrored. Masks come from the teacher network if
    the checkpoint has one.

    Args:
        model: the labeller on its device; it is put into evaluation mode and, without operators
            that need contiguous feature maps, into the channels-last memory format, which is
            faster.
    """

    def __init__(self, model: DiscoBoxLabeler) -> None:
        self.model = model.eval()
        if not contiguous_operators(model):
            model.to(memory_format=torch.channels_last)
        self.network = model.teaching_network
        self.size, self.margins = model.crop_size, model.margins

    def extract(self, images: Sequence[BoxedImage]) -> list[None]:
        """Return nothing for each image: nothing is computed before its boxes are known."""
        return [None] * len(images)

    @torch.no_grad()
    def __call__(
        self, image: None, rgb: Tensor, objects: BoxObjects, regions: Tensor, size: int
    ) -> CoarseMasks:
        """Predict the masks of the boxes of one image.

        Args:
            image: the image in :meth:`extract`.
            rgb: ``(1, 3, H, W)`` in [0, 255].
            objects: G objects, in pixels of the image.
            regions: ``(G, 4)`` region of each object's grid, in pixels of the image.
            size: S.
        """
        at_once = _CROPS_ON_GPU if rgb.is_cuda else _CROPS
        parts = [slice(first, first + at_once) for first in range(0, len(objects), at_once)]
        logits = [
            torch.cat([self._view(rgb, objects[p], regions[p], size, *view) for p in parts])
            for view in zip(self.margins, cycle((False, True)), strict=False)
        ]
        predicted = torch.ones_like(objects.labels, dtype=torch.bool)
        views = _agreement([own > 0 for own in logits]) if len(logits) > 1 else None
        return CoarseMasks(torch.stack(logits).mean(0), predicted, views=views)

    def _view(
        self,
        rgb: Tensor,
        objects: BoxObjects,
        regions: Tensor,
        size: int,
        margin: float,
        mirrored: bool,
    ) -> Tensor:
        """Predict ``(G, S, S)`` logits from the crops with one margin."""
        own = expand_boxes(objects.boxes, margin)
        crops = crop_regions(rgb, own, torch.zeros_like(objects.labels), self.size)
        batch = dict(inputs=list(crops.flip(1)), data_samples=None)  # BGR, as mmdet loads images
        inputs = self.model.data_preprocessor(batch, False)["inputs"]
        boxes = (objects.boxes - own[:, :2].repeat(1, 2)) / (own[:, 2:] - own[:, :2]).repeat(1, 2)
        boxes = boxes * self.size
        if mirrored:
            inputs, boxes = inputs.flip(3), _mirror(boxes, self.size)
        view = look(self.network, inputs, _one_per_crop(objects, boxes, self.size))
        logits = view.proposals.logits
        return resample_grids(logits.flip(2) if mirrored else logits, own, regions, size)


def _agreement(masks: Sequence[Tensor]) -> Tensor:
    """Compute the mean IoU ``(G,)`` of all pairs of masks ``(G, S, S)``."""
    ious = [
        (one & other).sum((1, 2)) / (one | other).sum((1, 2)).clamp_min(1)
        for one, other in combinations(masks, 2)
    ]
    return torch.stack(ious).mean(0)


def _one_per_crop(objects: BoxObjects, boxes: Tensor, size: int) -> BoxObjects:
    """Return the objects as those of a batch with one crop for each."""
    return replace(
        objects,
        boxes=boxes,
        image_inds=torch.arange(len(boxes), device=boxes.device),
        image_sizes=boxes.new_full((len(boxes), 2), size),
    )


def _mirror(boxes: Tensor, width: float) -> Tensor:
    x1, y1, x2, y2 = boxes.unbind(1)
    return torch.stack([width - x2, y1, width - x1, y2], 1)
