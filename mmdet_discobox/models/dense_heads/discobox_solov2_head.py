"""The SOLOv2 head under box supervision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmdet.models.dense_heads import SOLOV2Head
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import Tensor

from mmdet_discobox.functional import masks_to_boxes
from mmdet_discobox.models.losses import BoxMILLoss
from mmdet_discobox.structures import BoxObjects, MaskProposals

from .part_types import check_part
from .solo_assignment import CellAssignment, assign_cells


@MODELS.register_module()
class DiscoBoxSOLOv2Head(SOLOV2Head):
    """SOLOv2 head that trains from boxes (Sec. 3.1).

    Layers, keys and predictions are those of its parent. It differs in three places:

    1. Targets come from boxes: cells are assigned around box centres, and ``loss_mask``, a
       ``BoxMILLoss``, compares masks with boxes. No mask is read.
    2. The loss also returns its mask proposals, for the structured losses.
    3. Predicted boxes are tight around the predicted masks, where the parent returns zeros.

    Raises:
        TypeError: if ``loss_mask`` is another loss.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        check_part("loss_mask", self.loss_mask, BoxMILLoss)

    def propose(
        self, features: Sequence[Tensor], samples: Sequence[DetDataSample]
    ) -> MaskProposals:
        """Predict the masks of the ground-truth objects.

        Args:
            features: feature maps of the neck.
            samples: data samples with boxes and labels.

        Returns:
            One proposal for each positive cell.
        """
        kernels, _, mask_feats = self(features)
        objects = BoxObjects.from_samples(samples)
        return self._proposals(kernels, mask_feats, objects, self._assign(objects, mask_feats))

    def loss_and_proposals(
        self, features: Sequence[Tensor], samples: Sequence[DetDataSample]
    ) -> tuple[dict[str, Tensor], MaskProposals]:
        """Compute ``L_det`` and ``L_mil`` and keep the masks they were computed on.

        Args:
            features: feature maps of the neck.
            samples: data samples with boxes and labels.

        Returns:
            ``loss_cls`` and ``loss_mil``, both scalars that are part of the graph whatever the
            images hold, and the proposals.
        """
        kernels, cls_logits, mask_feats = self(features)
        objects = BoxObjects.from_samples(samples)
        assignment = self._assign(objects, mask_feats)
        proposals = self._proposals(kernels, mask_feats, objects, assignment)
        losses = self.loss_mask(
            proposals.logits, proposals.boxes / self.mask_stride, reduction_override="none"
        )
        num_positives = len(proposals)
        flat = torch.cat([level.flatten(2) for level in cls_logits], 2)  # (B, classes, cells)
        loss_cls = self.loss_cls(
            # float32, as mmcv's focal loss on a GPU has no kernel for bfloat16
            flat.transpose(1, 2).reshape(-1, self.cls_out_channels).float(),
            assignment.labels.flatten(),
            avg_factor=num_positives + 1,
        )
        return dict(loss_cls=loss_cls, loss_mil=losses.sum() / max(num_positives, 1)), proposals

    def loss(
        self, x: Sequence[Tensor], batch_data_samples: Sequence[DetDataSample], **_: Any
    ) -> dict[str, Tensor]:
        """Losses alone, so that the head also works in a stock ``SOLOv2`` detector."""
        return self.loss_and_proposals(x, batch_data_samples)[0]

    def _assign(self, objects: BoxObjects, mask_feats: Tensor) -> CellAssignment:
        height, width = mask_feats.shape[-2:]
        return assign_cells(
            objects,
            frame=(height * self.mask_stride, width * self.mask_stride),
            num_grids=self.num_grids,
            scale_ranges=self.scale_ranges,
            pos_scale=self.pos_scale,
            num_classes=self.num_classes,
        )

    def _proposals(
        self,
        kernels: Sequence[Tensor],
        mask_feats: Tensor,
        objects: BoxObjects,
        assignment: CellAssignment,
    ) -> MaskProposals:
        flat = torch.cat([level.flatten(2) for level in kernels], 2)  # (B, channels, cells)
        image_inds = objects.image_inds[assignment.object_inds]
        chosen = flat.transpose(1, 2)[image_inds, assignment.cell_inds]  # (N, channels)
        size = self.dynamic_conv_size
        weights = chosen.view(len(chosen), mask_feats.shape[1], size, size)
        logits = [
            F.conv2d(image[None], image_weights)[0]
            for image, image_weights in zip(
                mask_feats, weights.split(assignment.image_counts), strict=True
            )
            if len(image_weights)
        ] or [mask_feats[0, :1, :, :][:0] * weights.sum()]
        return MaskProposals(
            logits=torch.cat(logits),
            object_inds=assignment.object_inds,
            objects=objects,
            stride=self.mask_stride,
        )

    def _predict_by_feat_single(self, *args: Any, **kwargs: Any) -> InstanceData:
        results = super()._predict_by_feat_single(*args, **kwargs)
        results.masks = results.masks.bool()
        results.labels = results.labels.long()
        results.bboxes = masks_to_boxes(results.masks).to(results.scores.dtype)
        return results
