"""Assignment of YOLACT's anchors to objects, vectorised over a batch.

Equivalent to mmdet's ``MaxIoUAssigner`` with low-quality matches, which loops over the objects in
Python and synchronises for each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import torch
from mmdet.structures.bbox import bbox_overlaps
from torch import Tensor

from mmdet_discobox.models.networks.positives import Positives
from mmdet_discobox.structures import BoxObjects
from mmdet_discobox.utils.types import type_name

#: the defaults of mmdet
_SAMPLER, _CALCULATOR = dict(type="PseudoSampler"), dict(type="BboxOverlaps2D")


@dataclass(frozen=True)
class AnchorAssignment(Positives):
    """Positive and negative anchors of a batch.

    Attributes:
        labels: ``(B, A)`` class of each anchor, ``num_classes`` for background.
        counted: ``(B, A)`` boolean, positive and background anchors; the classification loss
            ignores the others.
    """

    labels: Tensor
    counted: Tensor


def check_assignment(train_cfg: Mapping[str, Any]) -> None:
    """Check that the settings of mmdet's assignment are those of :func:`assign_anchors`.

    These are the settings of mmdet's YOLACT configs, of which the thresholds can change. Others
    would have no effect.

    Args:
        train_cfg: training settings of the box head.

    Raises:
        ValueError: if a setting has another value; the error lists all such settings.
    """
    assigner, sampler = train_cfg["assigner"], train_cfg.get("sampler") or _SAMPLER
    calculator = assigner.get("iou_calculator", _CALCULATOR)
    implemented = {
        "assigner.type='MaxIoUAssigner'": type_name(assigner["type"]) == "MaxIoUAssigner",
        "a number as assigner.neg_iou_thr": isinstance(assigner.get("neg_iou_thr"), Real),
        "assigner.gt_max_assign_all=False": not assigner.get("gt_max_assign_all", True),
        "assigner.match_low_quality=True": assigner.get("match_low_quality", True),
        "assigner.ignore_iof_thr=-1": assigner.get("ignore_iof_thr", -1) <= 0,
        "no assigner.iou_calculator": type_name(calculator["type"]) == "BboxOverlaps2D"
        and len(calculator) == 1,
        "no assigner.perm_repeat_gt_cfg": assigner.get("perm_repeat_gt_cfg") is None,
        "sampler.type='PseudoSampler'": type_name(sampler["type"]) == "PseudoSampler",
        "allowed_border=-1": train_cfg.get("allowed_border", -1) < 0,
        "pos_weight=-1": (train_cfg.get("pos_weight") or -1) <= 0,
    }
    if wrong := [text for text, holds in implemented.items() if not holds]:
        raise ValueError(
            f"Expected {', '.join(wrong)} in `train_cfg` of a DiscoBoxYOLACTHead, but got "
            f"{dict(train_cfg)}. Use the settings of mmdet's YOLACT configs."
        )


def assign_anchors(
    objects: BoxObjects,
    anchors: Tensor,
    *,
    pos_iou_thr: float,
    neg_iou_thr: float,
    min_pos_iou: float,
    num_classes: int,
) -> AnchorAssignment:
    """Assign anchors to objects like YOLACT.

    An anchor is assigned to the object with the largest IoU if this is at least ``pos_iou_thr``.
    In addition, each object gets its best anchor, even if another object has it; if several objects
    have the same best anchor, the last one gets it. Needs two host synchronisations, for the number
    of positive anchors of the batch and of each image.

    Args:
        objects: the objects of the batch.
        anchors: ``(A, 4)`` ``(x1, y1, x2, y2)`` in pixels of the batch.
        pos_iou_thr: smallest IoU of a positive anchor.
        neg_iou_thr: IoU below which an anchor is background.
        min_pos_iou: smallest IoU of a best anchor.
        num_classes: number of classes.
    """
    ious = bbox_overlaps(objects.boxes, anchors)  # (G, A)
    shape = len(objects.image_sizes), len(anchors)
    image_inds = objects.image_inds[:, None].expand_as(ious)
    max_ious = ious.new_zeros(shape).scatter_reduce_(0, image_inds, ious, "amax")  # (B, A)
    ranks = _ranks(ious, max_ious[objects.image_inds], pos_iou_thr, min_pos_iou)
    owners = ranks.new_zeros(shape).scatter_reduce_(0, image_inds, ranks, "amax")  # (B, A)
    positive = (ranks > 0) & (ranks == owners[objects.image_inds])
    object_inds, anchor_inds = positive.nonzero(as_tuple=True)
    labels = objects.labels.new_full(shape, num_classes)
    labels[objects.image_inds[object_inds], anchor_inds] = objects.labels[object_inds]
    return AnchorAssignment(
        labels=labels,
        counted=(max_ious < neg_iou_thr) | (owners > 0),
        object_inds=object_inds,
        place_inds=anchor_inds,
        image_counts=(owners > 0).sum(1).tolist(),
    )


def _ranks(ious: Tensor, max_ious: Tensor, pos_iou_thr: float, min_pos_iou: float) -> Tensor:
    """Rank the objects for each anchor, ``(G, A)``; the highest rank gets it, 0 excludes.

    As in mmdet, the first object precedes with equal IoUs, the last one with equal best anchors.
    """
    order = torch.arange(len(ious), device=ious.device)[:, None]
    ranks = (len(ious) - order) * ((ious == max_ious) & (ious >= pos_iou_thr))
    if not len(ious):
        return ranks
    highest, best_anchors = ious.max(1, keepdim=True)
    best_ranks = torch.where(highest >= min_pos_iou, len(ious) + 1 + order, 0)  # (G, 1)
    return ranks.scatter_reduce(1, best_anchors, best_ranks, "amax")


def flatten_levels(levels: Sequence[Tensor], channels: int) -> Tensor:
    """Concatenate the predictions of all levels, one row per anchor.

    Args:
        levels: ``(B, anchors * channels, h, w)`` for each level.
        channels: number of channels per anchor.

    Returns:
        ``(B, A, channels)`` in the order of mmdet's anchors.
    """
    flat = [x.permute(0, 2, 3, 1).reshape(len(x), -1, channels) for x in levels]
    return torch.cat(flat, 1)
