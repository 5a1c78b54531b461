"""The mask head of SOLOv2 under box supervision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from mmdet.models.dense_heads import SOLOV2Head
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import Tensor

from mmdet_discobox.functional import masks_to_boxes
from mmdet_discobox.models.detectors import check_module_type
from mmdet_discobox.models.losses import BoxMILLoss, mil_loss
from mmdet_discobox.structures import BoxObjects, MaskProposals

from .cell_assignment import CellAssignment, assign_cells


class SOLOv2Outputs(NamedTuple):
    """Raw outputs of the head.

    Attributes:
        kernels: ``(B, C, S, S)`` mask kernels of the grid cells for each level.
        cls_logits: ``(B, num_classes, S, S)`` for each level.
        mask_features: ``(B, C, H, W)``, convolved with the kernels.
    """

    kernels: Sequence[Tensor]
    cls_logits: Sequence[Tensor]
    mask_features: Tensor


@MODELS.register_module()
class DiscoBoxSOLOv2Head(SOLOV2Head):
    """Mask head of SOLOv2 trained from boxes (Sec. 3.1), with the layers and keys of its parent.

    It differs in three places:

    1. Grid cells are assigned around box centres; masks are not read.
    2. Assignment, masks and losses are methods of their own, for :class:`.TaskNetwork`. In a stock
       ``SOLOv2``, the head computes ``L_mil`` with ``loss_mask``, which must be a ``BoxMILLoss``.
    3. Predicted boxes are tight around the predicted masks; the parent returns zeros.

    Args:
        *args: arguments of the parent.
        **kwargs: keyword arguments of the parent.

    Raises:
        ValueError: if ``dynamic_conv_size`` is not 1, the default. SOLOv2 convolves without
            padding, so the masks of larger kernels are shifted.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.dynamic_conv_size != 1:
            raise ValueError(
                "Expected `dynamic_conv_size` to be 1 but got "
                f"{self.dynamic_conv_size}: SOLOv2 convolves without padding, so larger kernels "
                "shift the masks. Remove it."
            )

    def loss(
        self, x: Sequence[Tensor], batch_data_samples: Sequence[DetDataSample], **_: Any
    ) -> dict[str, Tensor]:
        """Compute ``L_det`` and ``L_mil``, for a stock ``SOLOv2`` detector.

        Args:
            x: feature maps of the neck.
            batch_data_samples: data samples with boxes and labels.

        Returns:
            ``loss_cls`` and ``loss_mil``.

        Raises:
            TypeError: if ``loss_mask`` is not a ``BoxMILLoss``.
        """
        check_module_type("mask_head.loss_mask", self.loss_mask, BoxMILLoss)
        outputs = SOLOv2Outputs(*self(x))
        objects = BoxObjects.from_samples(batch_data_samples)
        positives = self.assign(outputs, objects)
        proposals = self.mask_proposals(outputs, positives, objects)
        loss_cls = self.classification_loss(outputs, positives)
        return dict(loss_cls=loss_cls, loss_mil=mil_loss(self.loss_mask, proposals))

    def assign(self, outputs: SOLOv2Outputs, objects: BoxObjects) -> CellAssignment:
        """Assign grid cells around the box centres, see :func:`assign_cells`."""
        height, width = outputs.mask_features.shape[-2:]
        return assign_cells(
            objects,
            frame=(height * self.mask_stride, width * self.mask_stride),
            num_grids=self.num_grids,
            scale_ranges=self.scale_ranges,
            pos_scale=self.pos_scale,
            num_classes=self.num_classes,
        )

    def mask_proposals(
        self, outputs: SOLOv2Outputs, positives: CellAssignment, objects: BoxObjects
    ) -> MaskProposals:
        """Convolve the mask features with the kernels of the positive cells."""
        features = outputs.mask_features
        flat = torch.cat([level.flatten(2) for level in outputs.kernels], 2)  # (B, C, cells)
        kernels = positives.select(flat.transpose(1, 2), objects)  # (N, C)
        weights = kernels[:, :, None, None]  # 1 x 1
        logits = [
            F.conv2d(image[None], image_weights)[0]
            for image, image_weights in zip(
                features, weights.split(positives.image_counts), strict=True
            )
            if len(image_weights)
        ]
        if not logits:
            zero = weights.sum() + features[:0].sum()  # part of the graph
            logits = [zero.expand(0, *features.shape[-2:])]
        return MaskProposals(
            logits=torch.cat(logits),
            object_inds=positives.object_inds,
            objects=objects,
            stride=self.mask_stride,
        )

    def classification_loss(self, outputs: SOLOv2Outputs, positives: CellAssignment) -> Tensor:
        """Compute the focal loss of all cells."""
        flat = torch.cat([level.flatten(2) for level in outputs.cls_logits], 2)
        return self.loss_cls(
            # float32: the GPU kernel of mmcv's focal loss does not support bfloat16
            flat.transpose(1, 2).reshape(-1, self.cls_out_channels).float(),
            positives.labels.flatten(),
            avg_factor=len(positives.object_inds) + 1,
        )

    def _predict_by_feat_single(self, *args: Any, **kwargs: Any) -> InstanceData:
        results = super()._predict_by_feat_single(*args, **kwargs)
        results.masks = results.masks.bool()
        results.labels = results.labels.long()
        results.bboxes = masks_to_boxes(results.masks).to(results.scores.dtype)
        return results
