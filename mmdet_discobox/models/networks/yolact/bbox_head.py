"""The box head of YOLACT, vectorised over a batch."""

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

from .anchor_assignment import (
    AnchorAssignment,
    assign_anchors,
    check_assignment,
    flatten_levels,
)


class BboxOutputs(NamedTuple):
    """Raw outputs of the box head for each level, and its anchors.

    Attributes:
        cls_logits: ``(B, anchors * (num_classes + 1), h, w)``.
        deltas: ``(B, anchors * 4, h, w)`` encoded boxes.
        coefficients: ``(B, anchors * P, h, w)`` coefficients of the P prototypes.
        anchors: ``(A, 4)`` anchors of all levels, ``(x1, y1, x2, y2)`` in pixels.
    """

    cls_logits: Sequence[Tensor]
    deltas: Sequence[Tensor]
    coefficients: Sequence[Tensor]
    anchors: Tensor


@dataclass(frozen=True)
class MaskCoefficients:
    """Prototype coefficients of N masks, images concatenated in order.

    Attributes:
        values: ``(N, P)`` coefficients of the P prototypes.
        object_inds: ``(N,)`` object of each mask.
        image_counts: number of masks of each image; the sum is N.
    """

    values: Tensor
    object_inds: Tensor
    image_counts: list[int]


@MODELS.register_module()
class DiscoBoxYOLACTHead(YOLACTHead):
    """Box head of YOLACT with the layers, keys and predictions of its parent (Sec. 3.1).

    It differs in three places:

    1. Anchors are assigned and losses computed for the whole batch at once.
    2. The loss of an image without positive anchors is that of its ``neg_pos_ratio`` hardest
       negatives. The parent sums all of its anchors, tens of thousands, so the loss explodes.
    3. Outputs, assignment and losses are methods of their own, for :class:`.TaskNetwork`, and no
       state is kept between steps.

    Of ``train_cfg.assigner``, a ``MaxIoUAssigner``, the thresholds are used; other settings are
    those of mmdet's YOLACT configs, see :func:`.check_assignment`.

    Raises:
        ValueError: if ``use_ohem`` is False, ``loss_cls`` uses a sigmoid, or ``train_cfg`` has
            another assignment.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.use_ohem or self.use_sigmoid_cls:
            raise ValueError(
                "Expected `use_ohem=True` and a softmax `loss_cls` but got "
                f"use_ohem={self.use_ohem} and use_sigmoid={self.use_sigmoid_cls}. "
                "Use the settings of mmdet's YOLACT configs."
            )
        if self.train_cfg:
            check_assignment(self.train_cfg)

    def outputs(self, features: Sequence[Tensor]) -> BboxOutputs:
        """Run the head and generate its anchors.

        Args:
            features: feature maps of the neck.
        """
        cls_logits, deltas, coefficients = self(features)
        return BboxOutputs(cls_logits, deltas, coefficients, self._anchors(cls_logits))

    def _anchors(self, levels: Sequence[Tensor]) -> Tensor:
        sizes, device = [level.shape[-2:] for level in levels], levels[0].device
        generator = self.prior_generator
        # otherwise the generator copies them from the host at every step, which synchronises
        generator.base_anchors = [anchors.to(device) for anchors in generator.base_anchors]
        return torch.cat(generator.grid_priors(sizes, device=device))

    def assign(self, outputs: BboxOutputs, objects: BoxObjects) -> AnchorAssignment:
        """Assign anchors to the objects, see :func:`assign_anchors`."""
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
            outputs: result of :meth:`outputs`.
            assignment: result of :meth:`assign`.
            objects: the objects that were assigned.

        Returns:
            ``loss_cls`` and ``loss_bbox``, scalars, part of the graph even without objects.
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
        flat = flatten_levels(outputs.coefficients, self.num_protos)
        values = assignment.select(flat, objects)
        return MaskCoefficients(values, assignment.object_inds, assignment.image_counts)

    def mean_coefficients(
        self, outputs: BboxOutputs, assignment: AnchorAssignment, objects: BoxObjects
    ) -> MaskCoefficients:
        """Average the coefficients of the positive anchors of each object.

        Logits are linear in the coefficients, so one mask gives the mean logits of all anchors.
        Needs two host synchronisations, for the number of these objects in the batch and in each
        image.

        Returns:
            One row for each object with a positive anchor.
        """
        positive = self.coefficients(outputs, assignment, objects)
        sums = positive.values.new_zeros(len(objects), self.num_protos, dtype=torch.float)
        sums.index_add_(0, positive.object_inds, positive.values.float())
        counts = torch.zeros_like(objects.labels)
        counts.index_add_(0, positive.object_inds, torch.ones_like(positive.object_inds))
        object_inds = counts.nonzero()[:, 0]
        mean = sums[object_inds] / counts[object_inds, None]
        images = torch.arange(len(objects.image_sizes), device=object_inds.device)
        image_counts = (objects.image_inds[object_inds] == images[:, None]).sum(1).tolist()
        return MaskCoefficients(mean, object_inds, image_counts)

    def _classification_loss(
        self, levels: Sequence[Tensor], assignment: AnchorAssignment
    ) -> Tensor:
        """Sum the cross-entropy of the positive anchors and of the hardest negatives."""
        flat = flatten_levels(levels, self.cls_out_channels)  # (B, A, classes + 1)
        labels = assignment.labels
        losses = self.loss_cls(
            flat.flatten(0, 1), labels.flatten(), reduction_override="none"
        ).view(labels.shape)
        positive = labels < self.num_classes
        negatives = losses.masked_fill(positive | ~assignment.counted, 0)
        ratio = self.train_cfg["neg_pos_ratio"]
        num_negatives = [ratio * max(count, 1) for count in assignment.image_counts]
        hardest = negatives.topk(min(max(num_negatives), labels.shape[1]), 1).values
        positions = torch.arange(hardest.shape[1], device=hardest.device)
        selected = positions < constants_like(num_negatives, labels)[:, None]
        return (losses * positive).sum() + (hardest * selected).sum()

    def _box_loss(
        self, outputs: BboxOutputs, objects: BoxObjects, assignment: AnchorAssignment, total: int
    ) -> Tensor:
        deltas = assignment.select(flatten_levels(outputs.deltas, 4), objects)  # (N, 4)
        boxes = objects.boxes[assignment.object_inds]
        # at least one pixel: the coder takes the logarithm of width and height
        boxes = torch.cat([boxes[:, :2], boxes[:, 2:].maximum(boxes[:, :2] + 1)], 1)
        targets = self.bbox_coder.encode(outputs.anchors[assignment.place_inds], boxes)
        return self.loss_bbox(deltas.float(), targets, avg_factor=total)
