"""YOLACT's assignment of anchors to objects, for a whole batch and without a loop over objects.

The rule is that of mmdet's ``MaxIoUAssigner`` with low-quality matches, which walks over the
objects of each image in Python and waits for the device at every one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from mmdet.structures.bbox import bbox_overlaps
from torch import Tensor

from mmdet_discobox.models.networks.positives import Positives
from mmdet_discobox.structures import BoxObjects


@dataclass(frozen=True)
class AnchorAssignment(Positives):
    """Positive and negative anchors of a batch.

    Attributes:
        labels: ``(B, A)`` class of each anchor, ``num_classes`` for background.
        counted: ``(B, A)`` boolean, anchors that are positive or background; those in between
            train nothing.
    """

    labels: Tensor
    counted: Tensor


def assign_anchors(
    objects: BoxObjects,
    anchors: Tensor,
    *,
    pos_iou_thr: float,
    neg_iou_thr: float,
    min_pos_iou: float,
    num_classes: int,
) -> AnchorAssignment:
    """Assign anchors to objects as YOLACT does.

    An anchor belongs to the object it overlaps most, if that is by ``pos_iou_thr``. Besides, each
    object takes the anchor it overlaps most, whoever has it; of two that want the same one, the
    later takes it. This needs two host synchronisations, for the number of positive anchors in
    the batch and in each image.

    Args:
        objects: the objects of the batch.
        anchors: ``(A, 4)`` ``(x1, y1, x2, y2)`` in pixels of the batch.
        pos_iou_thr: smallest IoU of a positive anchor.
        neg_iou_thr: IoU below which an anchor is background.
        min_pos_iou: smallest IoU of an object's best anchor.
        num_classes: number of classes.

    Returns:
        The assignment.
    """
    ious = bbox_overlaps(objects.boxes, anchors)  # (G, A)
    num_images = len(objects.image_sizes)
    homes = objects.image_inds[:, None].expand_as(ious)
    best = ious.new_zeros(num_images, len(anchors)).scatter_reduce_(0, homes, ious, "amax")
    ranks = _ranks(ious, best[objects.image_inds], pos_iou_thr, min_pos_iou)
    owners = ranks.new_zeros(best.shape).scatter_reduce_(0, homes, ranks, "amax")  # (B, A)
    positive = (ranks > 0) & (ranks == owners[objects.image_inds])
    object_inds, anchor_inds = positive.nonzero(as_tuple=True)
    image_inds = objects.image_inds[object_inds]
    labels = objects.labels.new_full(best.shape, num_classes)
    labels[image_inds, anchor_inds] = objects.labels[object_inds]
    return AnchorAssignment(
        labels=labels,
        counted=(best < neg_iou_thr) | (owners > 0),
        object_inds=object_inds,
        place_inds=anchor_inds,
        image_counts=(owners > 0).sum(1).tolist(),
    )


def _ranks(ious: Tensor, best: Tensor, pos_iou_thr: float, min_pos_iou: float) -> Tensor:
    """How strongly each object claims each anchor, ``(G, A)``; 0 is no claim, no two are equal.

    Equal overlaps go to the first object, equal needs of a best anchor to the last, as in mmdet.
    """
    order = torch.arange(len(ious), device=ious.device)[:, None]
    ranks = (len(ious) - order) * ((ious == best) & (ious >= pos_iou_thr))
    if not len(ious):
        return ranks
    highest, where = ious.max(1, keepdim=True)
    needed = torch.where(highest >= min_pos_iou, len(ious) + 1 + order, 0)  # (G, 1)
    return ranks.scatter_reduce(1, where, needed, "amax")


def levels_to_anchors(levels: Sequence[Tensor], channels: int) -> Tensor:
    """Flatten predictions of all levels.

    Args:
        levels: ``(B, anchors * channels, h, w)`` for each level.
        channels: channels of one anchor.

    Returns:
        ``(B, A, channels)`` in the order of mmdet's anchors.
    """
    flat = [x.permute(0, 2, 3, 1).reshape(len(x), -1, channels) for x in levels]
    return torch.cat(flat, 1)
