"""One label per pixel: objects of a class that overlap compete for the cells of their boxes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor

from mmdet_discobox.structures import BoxObjects, Correspondences

from .crops import average_grids, resample_grids
from .mask_refiner import MaskRefiner, MeanFieldInputs

#: how often the objects compete and are refined again
_ROUNDS = 2
#: largest log-odds of a rival, so that its odds are finite
_LIMIT = 10.0
#: cells of a rival's grid in one cell of an object's, up to which the rival is interpolated
_INTERPOLATED = 32**2


class RefinedChunk(NamedTuple):
    """Refined masks of some objects, with everything to refine them again.

    Attributes:
        masks: ``(G, S, S)`` marginals.
        inside: ``(G, S, S)`` boolean, cells in the boxes.
        prepare: computes the inputs of the mean field, which take 80 times the memory of the masks.
        cross: ``(G, S, S)`` log-odds of the cross-image term; None without one.
        matches: matches with objects of the bank; None without a cross-image term.
    """

    masks: Tensor
    inside: Tensor
    prepare: Callable[[], MeanFieldInputs]
    cross: Tensor | None = None
    matches: Correspondences | None = None


def compete(
    refiner: MaskRefiner,
    chunks: Sequence[RefinedChunk],
    regions: Tensor,
    objects: BoxObjects,
    *,
    weight: float,
) -> Tensor:
    """Refine all objects again, in competition with the others of their class and image.

    The division into chunks does not influence the result. On a CPU, a chunk in which no box
    overlaps another one is not refined again; on a GPU to know it would synchronise.

    Args:
        refiner: the mean field.
        chunks: all objects, refined alone.
        regions: ``(G, 4)`` regions of the grids, in pixels.
        objects: the objects.
        weight: weight of :func:`rival_logits`.

    Returns:
        ``(G, S, S)`` marginals.
    """
    ends = list(accumulate(len(chunk.masks) for chunk in chunks))
    parts = [slice(first, end) for first, end in zip([0, *ends], ends, strict=False)]
    masks = torch.cat([chunk.masks for chunk in chunks])
    contested = [
        masks.device.type != "cpu" or bool(shared_area(objects, part).any()) for part in parts
    ]
    for _ in range(_ROUNDS if any(contested) else 0):
        masks = torch.cat(
            [
                _refine_again(
                    refiner, chunk, rival_logits(masks, regions, objects, weight=weight, part=part)
                )
                if is_contested
                else chunk.masks
                for chunk, part, is_contested in zip(chunks, parts, contested, strict=True)
            ]
        )
    return masks


def _refine_again(refiner: MaskRefiner, chunk: RefinedChunk, rivals: Tensor) -> Tensor:
    return refiner(chunk.prepare(), rivals if chunk.cross is None else chunk.cross + rivals)


def rival_logits(
    masks: Tensor,
    regions: Tensor,
    objects: BoxObjects,
    *,
    weight: float,
    rivals: int = 4,
    part: slice = slice(None),
) -> Tensor:
    """Compute the log-odds that overlapping objects of the same class and image take from a cell.

    ``c_a = -w log(1 + sum_b q_b / (1 - q_b))``: in a softmax over the objects of a pixel and its
    background, the other objects ``b`` reduce the log-odds of ``a`` by the logarithm of their odds.
    Objects of different classes do not compete, because masks of COCO contain objects on top of
    each other. Not in the paper, which refines every object alone.

    Args:
        masks: ``(G, S, S)`` marginals ``q`` over the regions.
        regions: ``(G, 4)`` regions of the grids, in pixels.
        objects: the objects.
        weight: ``w``, at least 0.
        rivals: number of rivals per object; those that cover most of its box.
        part: the g objects whose log-odds are computed, by default all. Their rivals are all.

    Returns:
        ``(g, S, S)``, at most 0; 0 where no rival has foreground.
    """
    count, own = min(rivals, len(objects) - 1), regions[part]
    if count < 1:
        return torch.zeros_like(masks[part])
    shares, inds = shared_area(objects, part).topk(count)  # (g, R)
    size, competes = masks.shape[-1], (shares > 0).flatten()
    # objects without that many rivals get others, which may lie anywhere: none is sampled there
    targets = own.repeat_interleave(count, 0)
    sources = torch.where(competes[:, None], regions[inds.flatten()], targets)
    probs = _rival_probs(masks[inds.flatten()], sources, targets) * competes[:, None, None]
    probs = probs.view(len(own), count, size, size)
    odds = torch.logit(probs, eps=1e-6).clamp_max(_LIMIT).exp() * (probs > 0)
    return -weight * odds.sum(1).log1p()


def _rival_probs(masks: Tensor, sources: Tensor, targets: Tensor) -> Tensor:
    """Resample masks of rivals on the grids of objects, at a cost that is bounded.

    The samples of an interpolation grow with the ratio of the areas: without this limit, a box of
    2 pixels in one of 640 x 480 would take gigabytes.
    """
    sides, own_sides = sources[:, 2:] - sources[:, :2], targets[:, 2:] - targets[:, :2]
    ratios = (own_sides / sides.clamp_min(1e-6)).clamp_min(1).prod(1)
    tiny = (ratios > _INTERPOLATED)[:, None]
    size = masks.shape[-1]
    interpolated = resample_grids(masks, torch.where(tiny, targets, sources), targets, size)
    return torch.where(tiny[..., None], average_grids(masks, sources, targets, size), interpolated)


def shared_area(objects: BoxObjects, part: slice = slice(None)) -> Tensor:
    """Compute the share of each box of a part that each box of its class and image covers.

    Args:
        objects: the G objects.
        part: g of them, by default all.

    Returns:
        ``(g, G)``; 0 for the object itself.
    """
    others, own = objects.boxes, objects[part]
    boxes = own.boxes[:, None]
    low, high = boxes[..., :2].maximum(others[:, :2]), boxes[..., 2:].minimum(others[:, 2:])
    common = (high - low).clamp_min(0).prod(2)
    areas = (boxes[..., 2:] - boxes[..., :2]).prod(2).clamp_min(1e-6)  # (g, 1)
    related = (own.labels[:, None] == objects.labels) & (
        own.image_inds[:, None] == objects.image_inds
    )
    rows = torch.arange(len(others), device=others.device)
    return common / areas * (related & (rows[part, None] != rows))
