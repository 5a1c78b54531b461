"""Assignment of RTMDet's priors to objects, vectorised over a batch.

RTMDet selects the priors of an object by its predictions (``DynamicSoftLabelAssigner``): boxes and
classes train there, and so do masks, because these priors are the ones that predict. The selection
changes from step to step, differs between student and average, and may leave an object without a
prior. The masks of given boxes therefore come from one prior per object that its box alone decides.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from mmdet.structures.bbox import bbox_overlaps
from torch import Tensor

from mmdet_discobox.models.networks.positives import Positives
from mmdet_discobox.structures import BoxObjects

#: side of an object, in strides, that a level is made for; the mask layers, too, receive
#: coordinates in units of 8 strides
_SIDE = 8
_EPS = 1e-7


@dataclass(frozen=True)
class PriorTargets:
    """Training targets of the priors of a batch, selected by the predictions of one network.

    Attributes:
        positives: the N priors whose masks are trained, and their objects: the selected priors and
            the nearest prior of each object.
        weights: ``(N,)`` IoU of the predicted box with the object, the weight of the box loss; 0
            for a nearest prior that was not selected.
        labels: ``(B, P)`` class of each prior, ``num_classes`` for background.
        qualities: ``(B, P)`` IoU of each selected prior, the target of its class score, else 0.
        counted: ``(B, P)`` boolean, False in the padding, which the class loss ignores.
    """

    positives: Positives
    weights: Tensor
    labels: Tensor
    qualities: Tensor
    counted: Tensor


def nearest_priors(objects: BoxObjects, priors: Tensor) -> Tensor:
    """Find the prior of each object that is nearest to the centre of its box.

    Its level is the one whose stride is closest, in octaves, to an eighth of
    ``sqrt(width * height)``. Objects with the same centre and size share a prior.

    Args:
        objects: the G objects.
        priors: ``(P, 4)`` ``(x, y, stride, stride)`` in pixels.

    Returns:
        ``(G,)`` indices.
    """
    x1, y1, x2, y2 = objects.boxes.unbind(1)
    sides = ((x2 - x1) * (y2 - y1)).sqrt().clamp_min(1)
    octaves = (sides[:, None] / (_SIDE * priors[:, 2])).log2().abs()  # (G, P)
    other_level = octaves > octaves.amin(1, keepdim=True)
    distances = _centre_distances(objects, priors).masked_fill(other_level, torch.inf)
    return distances.argmin(1)


def assign_priors(
    objects: BoxObjects,
    priors: Tensor,
    cls_logits: Tensor,
    boxes: Tensor,
    nearest: Tensor,
    *,
    topk: int,
    iou_weight: float,
    soft_center_radius: float,
) -> PriorTargets:
    """Select the priors of each object like mmdet's ``DynamicSoftLabelAssigner``.

    The cost of a pair is ``cls + iou_weight * (-log IoU) + 10 ** (distance - radius)``. An object
    gets the priors with the lowest costs, as many as the sum of its ``topk`` largest IoUs; a prior
    that several objects get belongs to the one with the lowest cost. Departures:

    1. The nearest prior of an object is not selected for another object, so that each prior trains
       the mask of one object.
    2. Priors in the padding are ignored from the last pixel of the image, not from its padded size.

    Needs one host synchronisation, for the number of positive priors of each image.

    Args:
        objects: the G objects of B images.
        priors: ``(P, 4)`` ``(x, y, stride, stride)`` in pixels.
        cls_logits: ``(B, P, C)`` class logits.
        boxes: ``(B, P, 4)`` predicted ``(x1, y1, x2, y2)`` in pixels.
        nearest: ``(G,)`` result of :func:`nearest_priors`.
        topk: largest number of priors of an object.
        iou_weight: weight of the IoU in the cost.
        soft_center_radius: distance from the centre of the box, in strides, with a cost of 1.
    """
    own = torch.zeros_like(priors[:, 0], dtype=torch.bool).repeat(len(objects), 1)
    own.scatter_(1, nearest[:, None], True)  # (G, P)
    candidates = _candidates(objects, priors) & (own | ~_any_per_image(objects, own))
    ious = _ious(objects, boxes).masked_fill(~candidates, 0)
    costs = _class_costs(objects, cls_logits, ious) - iou_weight * (ious + _EPS).log()
    strides_away = _centre_distances(objects, priors) / priors[:, 2]
    costs = costs + 10 ** (strides_away - soft_center_radius)
    selected = _select(objects, costs.masked_fill(~candidates, torch.inf), ious, topk)

    order = torch.arange(1, len(objects) + 1, device=priors.device)
    owners = _amax_per_image(objects, selected * order[:, None])  # (B, P), 0 for background
    classes = torch.cat([objects.labels.new_full((1,), cls_logits.shape[-1]), objects.labels])
    positive = selected | own
    counts = _sum_per_image(objects, positive.sum(1, keepdim=True))[:, 0].tolist()
    flat = positive.flatten().to(torch.uint8).argsort(descending=True, stable=True)[: sum(counts)]
    weights = ious * selected
    return PriorTargets(
        positives=Positives(flat // len(priors), flat % len(priors), counts),
        weights=weights.flatten()[flat],
        labels=classes[owners],
        qualities=_amax_per_image(objects, weights),
        counted=(priors[:, :2] < objects.image_sizes.flip(1)[:, None]).all(-1),
    )


def _select(objects: BoxObjects, costs: Tensor, ious: Tensor, topk: int) -> Tensor:
    """Select the priors with the lowest costs of each object, ``(G, P)``."""
    most = min(topk, costs.shape[1])
    numbers = ious.topk(most, 1).values.sum(1).int().clamp_min(1)
    lowest, inds = costs.topk(most, 1, largest=False)
    ranks = torch.arange(most, device=costs.device)
    kept = (ranks < numbers[:, None]) & lowest.isfinite()
    matched = torch.zeros_like(costs, dtype=torch.bool).scatter(1, inds, kept)
    contested = _sum_per_image(objects, matched.int()) > 1
    order = torch.arange(len(objects), 0, -1, device=costs.device)[:, None]  # the first one wins
    cheapest = costs == -_amax_per_image(objects, -costs, fill=-torch.inf)[objects.image_inds]
    ranked = cheapest * order
    winner = ranked == _amax_per_image(objects, ranked)[objects.image_inds]
    return torch.where(contested[objects.image_inds], winner & cheapest, matched)


def _candidates(objects: BoxObjects, priors: Tensor) -> Tensor:
    """Mark the priors inside any box of an object's image, ``(G, P)``."""
    x, y = priors[:, 0], priors[:, 1]
    x1, y1, x2, y2 = objects.boxes[:, :, None].unbind(1)
    return _any_per_image(objects, (x1 < x) & (x < x2) & (y1 < y) & (y < y2))


def _class_costs(objects: BoxObjects, logits: Tensor, ious: Tensor) -> Tensor:
    """Compute the quality focal loss of every pair, summed over the classes, ``(G, P)``.

    The target is the IoU for the class of the object and 0 for the others, whose sum is common to
    all objects of an image.
    """
    background = F.softplus(logits) * logits.sigmoid().square()  # (B, P, C)
    places = torch.arange(logits.shape[1], device=logits.device)
    own = (objects.image_inds[:, None], places, objects.labels[:, None])
    loss = F.binary_cross_entropy_with_logits(logits[own], ious, reduction="none")
    quality = loss * (ious - logits[own].sigmoid()).square()
    return background.sum(-1)[objects.image_inds] - background[own] + quality


def _ious(objects: BoxObjects, boxes: Tensor) -> Tensor:
    """Compute the IoUs of each object with the predictions of its image, ``(G, P)``."""
    return bbox_overlaps(objects.boxes[:, None], boxes[objects.image_inds])[:, 0]


def _centre_distances(objects: BoxObjects, priors: Tensor) -> Tensor:
    """Compute the distances of priors from the centre of each box in pixels, ``(G, P)``."""
    centres = (objects.boxes[:, :2] + objects.boxes[:, 2:]) / 2
    return (centres[:, None] - priors[:, :2]).square().sum(-1).sqrt()


def _any_per_image(objects: BoxObjects, marks: Tensor) -> Tensor:
    """Mark what any object of the same image marks, ``(G, P)``."""
    return (_sum_per_image(objects, marks.int()) > 0)[objects.image_inds]


def _sum_per_image(objects: BoxObjects, values: Tensor) -> Tensor:
    """Sum values ``(G, P)`` over the objects of each image, ``(B, P)``."""
    shape = (len(objects.image_sizes), values.shape[1])
    return values.new_zeros(shape).index_add_(0, objects.image_inds, values)


def _amax_per_image(objects: BoxObjects, values: Tensor, fill: float = 0) -> Tensor:
    """Take the largest of values ``(G, P)`` and ``fill`` in each image, ``(B, P)``."""
    shape = (len(objects.image_sizes), values.shape[1])
    image_inds = objects.image_inds[:, None].expand_as(values)
    return values.new_full(shape, fill).scatter_reduce_(0, image_inds, values, "amax")
