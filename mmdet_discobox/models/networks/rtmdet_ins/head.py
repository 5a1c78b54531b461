"""The head of RTMDet-Ins, with the losses of boxes and classes alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from mmdet.models.dense_heads import RTMDetInsHead, RTMDetInsSepBNHead
from mmdet.models.task_modules import DynamicSoftLabelAssigner
from mmdet.registry import MODELS
from mmdet.structures.bbox import distance2bbox, scale_boxes
from mmdet.utils import reduce_mean
from mmengine.structures import InstanceData
from torch import Tensor

from mmdet_discobox.models.networks.positives import Positives
from mmdet_discobox.structures import BoxObjects

from .prior_assignment import PriorTargets, assign_priors, nearest_priors


class RTMDetInsOutputs(NamedTuple):
    """Raw outputs of the head; the first three have one tensor per level.

    Attributes:
        cls_logits: ``(B, num_classes, h, w)``.
        distances: ``(B, 4, h, w)`` from the prior to the sides of the box in pixels.
        kernels: ``(B, K, h, w)`` parameters of the dynamic mask layers.
        mask_features: ``(B, C, H, W)`` input of these layers, of the size of the finest level.
    """

    cls_logits: Sequence[Tensor]
    distances: Sequence[Tensor]
    kernels: Sequence[Tensor]
    mask_features: Tensor


@MODELS.register_module()
class DiscoBoxRTMDetInsHead(RTMDetInsHead):
    """``RTMDetInsHead`` with the layers and keys of its parent, trained from boxes.

    It differs in five places:

    1. Priors are assigned and losses computed for the whole batch at once; the losses of boxes and
       classes are the parent's, its ``loss_mask`` is not used.
    2. Masks of given boxes have a prior each that their box alone decides.
    3. Predicted masks have the size of the image even if its sides were scaled unequally.
    4. Predicted boxes are decoded in float32, also under autocast.
    5. Outputs, assignment and losses are methods of their own, for :class:`.TaskNetwork`.

    Args:
        *args: arguments of the parent.
        max_masks_per_image: largest number of training masks of an image, shared by its objects.
        **kwargs: keyword arguments of the parent.
    """

    def __init__(self, *args: Any, max_masks_per_image: int = 128, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.max_masks_per_image = max_masks_per_image

    def outputs(self, features: Sequence[Tensor]) -> RTMDetInsOutputs:
        """Run the head, which returns the same in training and in evaluation mode."""
        return RTMDetInsOutputs(*self(features))

    def assign(self, outputs: RTMDetInsOutputs, objects: BoxObjects) -> Positives:
        """Assign the nearest prior to each object, see :func:`nearest_priors`.

        Needs one host synchronisation, for the number of objects of each image.
        """
        images = torch.arange(len(objects.image_sizes), device=objects.boxes.device)
        counts = (objects.image_inds == images[:, None]).sum(1).tolist()
        places = nearest_priors(objects, self._priors(outputs))
        return Positives(torch.arange(len(objects), device=places.device), places, counts)

    @torch.no_grad()
    def targets(
        self, outputs: RTMDetInsOutputs, nearest: Positives, objects: BoxObjects
    ) -> PriorTargets:
        """Select the priors to train by their predictions, see :func:`assign_priors`.

        Args:
            outputs: raw outputs of the head.
            nearest: result of :meth:`assign`.
            objects: the objects of the batch.

        Raises:
            TypeError: if ``train_cfg.assigner`` is no ``DynamicSoftLabelAssigner``.
        """
        assigner = getattr(self, "assigner", None)
        if not isinstance(assigner, DynamicSoftLabelAssigner):
            raise TypeError(
                "Expected `train_cfg.assigner` to be a DynamicSoftLabelAssigner but got "
                f"{type(assigner).__name__}. Use the settings of mmdet's RTMDet configs."
            )
        return assign_priors(
            objects,
            self._priors(outputs),
            _flatten(outputs.cls_logits).float(),
            self._boxes(outputs),
            nearest.place_inds,
            topk=assigner.topk,
            iou_weight=assigner.iou_weight,
            soft_center_radius=assigner.soft_center_radius,
        )

    def mask_logits(
        self, outputs: RTMDetInsOutputs, positives: Positives, objects: BoxObjects
    ) -> Tensor:
        """Predict the masks at positive priors.

        Args:
            outputs: raw outputs of the head.
            positives: N priors.
            objects: the objects that were assigned.

        Returns:
            ``(N, H, W)`` logits of stride ``mask_loss_stride``, upsampled as by the parent.
        """
        features, counts = outputs.mask_features, positives.image_counts
        kernels = positives.select(_flatten(outputs.kernels), objects)  # (N, K)
        priors = self._priors(outputs)[positives.place_inds]  # (N, 4)
        logits = [
            self._mask_predict_by_feat_single(image, rows, at)
            for image, rows, at in zip(
                features, kernels.split(counts), priors.split(counts), strict=True
            )
            if len(rows)
        ]
        scale = self.prior_generator.strides[0][0] // self.mask_loss_stride
        if not logits:
            zero = kernels.sum() + features[:0].sum()  # attached to the graph
            return zero.expand(0, *(side * scale for side in features.shape[-2:]))
        stacked = torch.cat(logits)[None]
        return F.interpolate(stacked, scale_factor=scale, mode="bilinear", align_corners=False)[0]

    def losses(
        self, outputs: RTMDetInsOutputs, targets: PriorTargets, objects: BoxObjects
    ) -> dict[str, Tensor]:
        """Compute ``L_cls`` (quality focal loss) and ``L_box``.

        mmdet's quality focal loss needs one host synchronisation, for the positive priors.

        Args:
            outputs: raw outputs of the head.
            targets: result of :meth:`targets`.
            objects: the objects that were assigned.

        Returns:
            ``loss_cls`` and ``loss_bbox``, scalars, part of the graph even without objects.
        """
        total = reduce_mean(targets.qualities.sum()).clamp_min(1)
        cls_logits = _flatten(outputs.cls_logits).float().flatten(0, 1)
        goals = (targets.labels.flatten(), targets.qualities.flatten())
        cls_losses = self.loss_cls(cls_logits, goals, reduction_override="none")
        boxes = targets.positives.select(self._boxes(outputs), objects)
        goal_boxes = objects.boxes[targets.positives.object_inds]
        box_losses = self.loss_bbox(boxes, goal_boxes, reduction_override="none")
        attached = boxes[:0].sum()  # a GIoU loss of no boxes is a constant
        return dict(
            loss_cls=(cls_losses * targets.counted.flatten()).sum() / total,
            loss_bbox=(box_losses * targets.weights).sum() / total + attached,
        )

    def _priors(self, outputs: RTMDetInsOutputs) -> Tensor:
        """Compute the ``(P, 4)`` ``(x, y, stride, stride)`` of all levels in pixels."""
        levels = outputs.cls_logits
        sizes, device = [level.shape[-2:] for level in levels], levels[0].device
        return torch.cat(self.prior_generator.grid_priors(sizes, device=device, with_stride=True))

    def _boxes(self, outputs: RTMDetInsOutputs) -> Tensor:
        """Decode the predicted boxes, ``(B, P, 4)`` float32 ``(x1, y1, x2, y2)`` in pixels."""
        distances = _flatten(outputs.distances).float()
        boxes: Tensor = distance2bbox(
            self._priors(outputs).expand(len(distances), -1, -1), distances
        )
        return boxes

    def predict_by_feat(
        self, cls_scores: Sequence[Tensor], bbox_preds: Sequence[Tensor], *args: Any, **kwargs: Any
    ) -> list[InstanceData]:
        """Predict instances from raw outputs.

        The parent decodes boxes in the type of the outputs. Under autocast that is coarse, and
        mmcv's NMS does not support it.
        """
        scores, distances = (
            [level.float() for level in levels] for levels in (cls_scores, bbox_preds)
        )
        found: list[InstanceData] = super().predict_by_feat(scores, distances, *args, **kwargs)
        return found

    def _bbox_mask_post_process(
        self,
        results: InstanceData,
        mask_feat: Tensor,
        cfg: Any,
        rescale: bool = False,
        with_nms: bool = True,
        img_meta: Any = None,
    ) -> InstanceData:
        """Predict the masks of an image in its original size.

        The parent (mmdet 3.3) multiplies the height of the masks by the scale of the width, and
        conversely, while its boxes are right. Both are, if it receives the scales in that order and
        boxes that are corrected for it.
        """
        if rescale:
            width, height = img_meta["scale_factor"][:2]
            results.bboxes = scale_boxes(results.bboxes, (height / width, width / height))
            img_meta = {**img_meta, "scale_factor": (height, width)}
        found: InstanceData = super()._bbox_mask_post_process(
            results, mask_feat, cfg, rescale=rescale, with_nms=with_nms, img_meta=img_meta
        )
        return found


@MODELS.register_module()
class DiscoBoxRTMDetInsSepBNHead(DiscoBoxRTMDetInsHead, RTMDetInsSepBNHead):
    """``RTMDetInsSepBNHead``, the head of mmdet's configs, trained from boxes like its parent."""


def _flatten(levels: Sequence[Tensor]) -> Tensor:
    """Concatenate the ``(B, C, h, w)`` outputs of all levels to ``(B, P, C)``."""
    return torch.cat([level.flatten(2) for level in levels], 2).transpose(1, 2)
