"""One label per pixel: objects of a class that overlap compete for the cells of their boxes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mmdet_discobox.structures import BoxObjects, Correspondences

from .crops import resample_grids
from .mask_refiner import MaskRefiner, MeanFieldInputs

#: how often the objects compete and are refined again
_ROUNDS = 2
#: largest log-odds of a rival, so that its odds are finite
_LIMIT = 10.0


class RefinedChunk(NamedTuple):
    """Refined masks of some objects, with everything to refine them again.

    Attributes:
        masks: ``(G, S, S)`` marginals.
        inputs: inputs of the mean field.
        cross: ``(G, S, S)`` log-odds of the cross-image term.
        matches: matches with objects of the bank; None without a cross-image term.
    """

    masks: Tensor
    inputs: MeanFieldInputs
    cross: Tensor
    matches: Correspondences | None


def compete(
    refiner: MaskRefiner,
    chunks: Sequence[RefinedChunk],
    regions: Tensor,
    objects: BoxObjects,
    *,
    weight: float,
) -> Tensor:
    """Refine all objects again, in competition with the others of their class and image.

    On a CPU nothing is refined again if no boxes overlap; on a GPU to know it would synchronise.

    Args:
        refiner: the mean field.
        chunks: all objects, refined alone.
        regions: ``(G, 4)`` regions of the grids, in pixels.
        objects: the objects.
        weight: weight of :func:`rival_logits`.

    Returns:
        ``(G, S, S)`` marginals.
    """
    sizes = [len(chunk.masks) for chunk in chunks]
    masks = torch.cat([chunk.masks for chunk in chunks])
    if masks.device.type == "cpu" and not shared_area(objects).any():
        return masks
    for _ in range(_ROUNDS):
        rivals = rival_logits(masks, regions, objects, weight=weight).split(sizes)
        again = zip(chunks, rivals, strict=True)
        masks = torch.cat([refiner(chunk.inputs, chunk.cross + rival) for chunk, rival in again])
    return masks


def rival_logits(
    masks: Tensor, regions: Tensor, objects: BoxObjects, *, weight: float, rivals: int = 4
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

    Returns:
        ``(G, S, S)``, at most 0; 0 where no rival has foreground.
    """
    count = min(rivals, len(objects) - 1)
    if count < 1:
        return torch.zeros_like(masks)
    shares, inds = shared_area(objects).topk(count)  # (G, R)
    size = masks.shape[-1]
    probs = resample_grids(
        masks[inds.flatten()],
        regions[inds.flatten()],
        regions.repeat_interleave(count, 0),
        size,
    ).view(len(masks), count, size, size)
    odds = torch.logit(probs, eps=1e-6).clamp_max(_LIMIT).exp() * (probs > 0)
    return -weight * (odds * (shares > 0)[..., None, None]).sum(1).log1p()


def shared_area(objects: BoxObjects) -> Tensor:
    """Compute the share of each box that a box of its class and image covers, ``(G, G)``."""
    boxes = objects.boxes
    low = boxes[:, None, :2].maximum(boxes[:, :2])
    high = boxes[:, None, 2:].minimum(boxes[:, 2:])
    common = (high - low).clamp_min(0).prod(2)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1).clamp_min(1e-6)
    related = (objects.labels[:, None] == objects.labels) & (
        objects.image_inds[:, None] == objects.image_inds
    )
    related = related & ~torch.eye(len(boxes), dtype=torch.bool, device=boxes.device)
    return common / areas[:, None] * related
