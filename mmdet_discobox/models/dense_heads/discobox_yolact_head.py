"""The detection half of YOLACT, without a loop over objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from mmdet.models.dense_heads import YOLACTHead
from mmdet.registry import MODELS
from torch import Tensor

from mmdet_discobox.functional import constants_like
from mmdet_discobox.structures import BoxObjects

from .anchor_assignment import AnchorAssignment, assign_anchors, levels_to_anchors


@dataclass(frozen=True)
class MaskCoefficients:
    """What the detection half tells the mask half.

    Attributes:
        coefficients: ``(N, P)`` coefficients of the P prototypes, images in order.
        object_inds: ``(N,)`` index into ``objects``.
        image_counts: masks of each image; they add up to N.
        objects: the G ground-truth objects.
    """

    coefficients: Tensor
    object_inds: Tensor
    image_counts: list[int]
    objects: BoxObjects


@MODELS.register_module()
class DiscoBoxYOLACTHead(YOLACTHead):
    """YOLACT's box head for training from boxes (Sec. 3.1).

    Layers, keys and predictions are those of its parent. It differs in three places:

    1. Anchors are assigned and losses are computed for the whole batch at once.
    2. An image without positive anchors contributes its three hardest negatives. The parent adds
       up all of its tens of thousands of anchors, an explosion that the first picture without an
       object sets off.
    3. Nothing is kept between the steps: the mask coefficients are returned.

    ``train_cfg.assigner`` gives the thresholds of a ``MaxIoUAssigner``.

    Raises:
        ValueError: if hard example mining is switched off, or the classification loss is a
            sigmoid's.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.use_ohem or self.use_sigmoid_cls:
            raise ValueError(
                "Expected `use_ohem=True` and a softmax `loss_cls` but got "
                f"use_ohem={self.use_ohem} and use_sigmoid={self.use_sigmoid_cls}. "
                "DiscoBoxYOLACTHead trains as YOLACT does."
            )

    def loss_and_coefficients(
        self, features: Sequence[Tensor], objects: BoxObjects, limit: int
    ) -> tuple[dict[str, Tensor], MaskCoefficients]:
        """Compute ``L_cls + L_box`` and pick the coefficients of positive anchors.

        Args:
            features: feature maps of the neck.
            objects: the objects of the batch.
            limit: masks of each image that may be trained.

        Returns:
            ``loss_cls`` and ``loss_bbox``, scalars that are part of the graph whatever the images
            hold, and the coefficients.
        """
        cls_logits, deltas, coefficients = self(features)
        anchors = self._anchors(cls_logits)
        assignment = self._assign(objects, anchors)
        total = sum(max(count, 1) for count in assignment.image_counts)
        losses = dict(
            loss_cls=self._classification_loss(cls_logits, assignment) / total,
            loss_bbox=self._box_loss(deltas, anchors, objects, assignment, total),
        )
        chosen = assignment.thin(limit)
        picked = _pick(levels_to_anchors(coefficients, self.num_protos), objects, chosen)
        return losses, MaskCoefficients(picked, chosen.object_inds, chosen.image_counts, objects)

    def object_coefficients(
        self, features: Sequence[Tensor], objects: BoxObjects
    ) -> MaskCoefficients:
        """Average the coefficients of each object's positive anchors.

        Logits are linear in the coefficients: theirs is the mean of the masks that the anchors
        would give, for the price of one.

        Args:
            features: feature maps of the neck.
            objects: the objects of the batch.

        Returns:
            One row for each object that has a positive anchor. Needs two more host
            synchronisations, for the number of those in the batch and in each image.
        """
        cls_logits, _, coefficients = self(features)
        assignment = self._assign(objects, self._anchors(cls_logits))
        picked = _pick(levels_to_anchors(coefficients, self.num_protos), objects, assignment)
        sums = picked.new_zeros(len(objects), self.num_protos, dtype=torch.float)
        sums.index_add_(0, assignment.object_inds, picked.float())
        object_inds, counts = assignment.object_inds.unique_consecutive(return_counts=True)
        mean = sums[object_inds] / counts[:, None]
        images = torch.arange(len(objects.image_sizes), device=object_inds.device)
        image_counts = (objects.image_inds[object_inds] == images[:, None]).sum(1).tolist()
        return MaskCoefficients(mean, object_inds, image_counts, objects)

    def _anchors(self, levels: Sequence[Tensor]) -> Tensor:
        sizes, device = [level.shape[-2:] for level in levels], levels[0].device
        generator = self.prior_generator
        # the generator copies them from the host for every level and step, and waits each time
        generator.base_anchors = [anchors.to(device) for anchors in generator.base_anchors]
        return torch.cat(generator.grid_priors(sizes, device=device))

    def _assign(self, objects: BoxObjects, anchors: Tensor) -> AnchorAssignment:
        return assign_anchors(
            objects,
            anchors,
            pos_iou_thr=self.assigner.pos_iou_thr,
            neg_iou_thr=self.assigner.neg_iou_thr,
            min_pos_iou=self.assigner.min_pos_iou,
            num_classes=self.num_classes,
        )

    def _classification_loss(
        self, levels: Sequence[Tensor], assignment: AnchorAssignment
    ) -> Tensor:
        """Cross-entropy of the positive anchors and of the hardest negatives, three for one."""
        flat = levels_to_anchors(levels, self.cls_out_channels)  # (B, A, classes + 1)
        labels = assignment.labels
        losses = self.loss_cls(
            flat.flatten(0, 1), labels.flatten(), reduction_override="none"
        ).view(labels.shape)
        positive = labels < self.num_classes
        negatives = losses.masked_fill(positive | ~assignment.counted, 0)
        ratio = self.train_cfg["neg_pos_ratio"]
        budgets = [ratio * max(count, 1) for count in assignment.image_counts]
        hardest = negatives.topk(min(max(budgets), labels.shape[1]), 1).values
        places = torch.arange(hardest.shape[1], device=hardest.device)
        spent = places < constants_like(budgets, labels)[:, None]
        return (losses * positive).sum() + (hardest * spent).sum()

    def _box_loss(
        self,
        levels: Sequence[Tensor],
        anchors: Tensor,
        objects: BoxObjects,
        assignment: AnchorAssignment,
        total: int,
    ) -> Tensor:
        picked = _pick(levels_to_anchors(levels, 4), objects, assignment)  # (N, 4)
        boxes = objects.boxes[assignment.object_inds]
        # what the border leaves of a box may have no area, of which the coder takes the logarithm
        boxes = torch.cat([boxes[:, :2], boxes[:, 2:].maximum(boxes[:, :2] + 1)], 1)
        targets = self.bbox_coder.encode(anchors[assignment.anchor_inds], boxes)
        return self.loss_bbox(picked.float(), targets, avg_factor=total)


def _pick(flat: Tensor, objects: BoxObjects, assignment: AnchorAssignment) -> Tensor:
    """Rows ``(N, channels)`` of the positive anchors from ``(B, A, channels)``."""
    image_inds = objects.image_inds[assignment.object_inds]
    return flat[image_inds, assignment.anchor_inds]
