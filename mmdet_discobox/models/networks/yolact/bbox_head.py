"""The detection half of YOLACT, without a loop over objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from mmdet.models.dense_heads import YOLACTHead
from mmdet.registry import MODELS
from torch import Tensor

from mmdet_discobox.functional import constants_like
from mmdet_discobox.structures import BoxObjects

from .anchor_assignment import AnchorAssignment, assign_anchors, levels_to_anchors


class BboxOutputs(NamedTuple):
    """Raw outputs of the box head, for each level, and its anchors.

    Attributes:
        cls_logits: ``(B, anchors * (num_classes + 1), h, w)``.
        deltas: ``(B, anchors * 4, h, w)`` encoded boxes.
        coefficients: ``(B, anchors * P, h, w)`` coefficients of the P prototypes.
        anchors: ``(A, 4)`` ``(x1, y1, x2, y2)`` in pixels, of all levels.
    """

    cls_logits: Sequence[Tensor]
    deltas: Sequence[Tensor]
    coefficients: Sequence[Tensor]
    anchors: Tensor


@dataclass(frozen=True)
class MaskCoefficients:
    """Coefficients of the masks to combine.

    Attributes:
        values: ``(N, P)`` coefficients of the P prototypes, images in order.
        object_inds: ``(N,)`` object of each mask.
        image_counts: masks of each image; they add up to N.
    """

    values: Tensor
    object_inds: Tensor
    image_counts: list[int]


@MODELS.register_module()
class DiscoBoxYOLACTHead(YOLACTHead):
    """YOLACT's box head for training from boxes (Sec. 3.1).

    Layers, keys and predictions are those of its parent. It differs in three places:

    1. Anchors are assigned and losses are computed for the whole batch at once.
    2. An image without positive anchors contributes its three hardest negatives. The parent adds
       up all of its tens of thousands of anchors, so that the loss explodes at the first image
       without an object.
    3. Outputs, assignment and losses are separate, for :class:`.TaskNetwork`, and no state is kept
       between the steps.

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

    def outputs(self, features: Sequence[Tensor]) -> BboxOutputs:
        """Run the head, and generate its anchors.

        Args:
            features: feature maps of the neck.
        """
        cls_logits, deltas, coefficients = self(features)
        return BboxOutputs(cls_logits, deltas, coefficients, self._anchors(cls_logits))

    def _anchors(self, levels: Sequence[Tensor]) -> Tensor:
        sizes, device = [level.shape[-2:] for level in levels], levels[0].device
        generator = self.prior_generator
        # the generator copies them from the host for every level and step, and waits each time
        generator.base_anchors = [anchors.to(device) for anchors in generator.base_anchors]
        return torch.cat(generator.grid_priors(sizes, device=device))

    def assign(self, outputs: BboxOutputs, objects: BoxObjects) -> AnchorAssignment:
        """Assign anchors to the objects of a batch, see :func:`assign_anchors`."""
        return assign_anchors(
            objects,
            outputs.anchors,
            pos_iou_thr=self.assigner.pos_iou_thr,
            neg_iou_thr=self.assigner.neg_iou_thr,
            min_pos_iou=self.assigner.min_pos_iou,
            num_classes=self.num_classes,
        )

    def losses(
        self, outputs: BboxOutputs, assignment: AnchorAssignment, objects: BoxObjects
    ) -> dict[str, Tensor]:
        """Compute ``L_cls + L_box``.

        Args:
            outputs: of the head.
            assignment: of its anchors.
            objects: the objects that were assigned.

        Returns:
            ``loss_cls`` and ``loss_bbox``, scalars that are part of the graph whatever the images
            hold.
        """
        total = sum(max(count, 1) for count in assignment.image_counts)
        return dict(
            loss_cls=self._classification_loss(outputs.cls_logits, assignment) / total,
            loss_bbox=self._box_loss(outputs, objects, assignment, total),
        )

    def coefficients(
        self, outputs: BboxOutputs, assignment: AnchorAssignment, objects: BoxObjects
    ) -> MaskCoefficients:
        """Select the coefficients of the positive anchors."""
        flat = levels_to_anchors(outputs.coefficients, self.num_protos)
        picked = assignment.pick(flat, objects)
        return MaskCoefficients(picked, assignment.object_inds, assignment.image_counts)

    def mean_coefficients(
        self, outputs: BboxOutputs, assignment: AnchorAssignment, objects: BoxObjects
    ) -> MaskCoefficients:
        """Average the coefficients of each object's positive anchors.

        Logits are linear in the coefficients, so these give the mean of the masks of the anchors
        at the cost of one.

        Returns:
            One row for each object that has a positive anchor. The number of those in the batch
            and in each image is read from the device: two host synchronisations.
        """
        each = self.coefficients(outputs, assignment, objects)
        sums = each.values.new_zeros(len(objects), self.num_protos, dtype=torch.float)
        sums.index_add_(0, each.object_inds, each.values.float())
        object_inds, counts = each.object_inds.unique_consecutive(return_counts=True)
        mean = sums[object_inds] / counts[:, None]
        images = torch.arange(len(objects.image_sizes), device=object_inds.device)
        image_counts = (objects.image_inds[object_inds] == images[:, None]).sum(1).tolist()
        return MaskCoefficients(mean, object_inds, image_counts)

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
        self, outputs: BboxOutputs, objects: BoxObjects, assignment: AnchorAssignment, total: int
    ) -> Tensor:
        picked = assignment.pick(levels_to_anchors(outputs.deltas, 4), objects)  # (N, 4)
        boxes = objects.boxes[assignment.object_inds]
        # a box clipped at the border may have no area, of which the coder takes the logarithm
        boxes = torch.cat([boxes[:, :2], boxes[:, 2:].maximum(boxes[:, :2] + 1)], 1)
        targets = self.bbox_coder.encode(outputs.anchors[assignment.place_inds], boxes)
        loss: Tensor = self.loss_bbox(picked.float(), targets, avg_factor=total)
        return loss
