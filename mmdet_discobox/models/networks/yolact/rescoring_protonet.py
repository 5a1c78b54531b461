"""The mask head of YOLACT with the mask re-scoring of YOLACT++."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmdet.models.dense_heads import YOLACTProtonet
from mmdet.registry import MODELS
from mmdet.utils import OptConfigType
from mmengine.structures import InstanceData
from torch import Tensor


@MODELS.register_module()
class RescoringProtonet(YOLACTProtonet):
    """Mask head of YOLACT for stock, mask-supervised ``YOLACT`` detectors, too.

    It differs from its parent in two places:

    1. Optional fast mask re-scoring, with keys under ``rescoring.``. Predictions then have
       ``mask_scores`` in addition to ``scores``: like YOLACT++, mmdet's ``CocoMetric`` ranks masks
       by the former and boxes by the latter. Visualisers and ``DetInferencer`` show ``scores``.
    2. Images may be smaller than the padded batch. The parent mixes coordinates relative to the
       image with those relative to the batch, so boxes and masks have a wrong scale unless both
       are equal.

    Args:
        *args: arguments of the parent.
        rescoring: arguments of ``MaskRescoring`` without ``num_classes``; None disables it.
        **kwargs: keyword arguments of the parent.
    """

    def __init__(self, *args: Any, rescoring: OptConfigType = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.rescoring: Any = None
        if rescoring is not None:
            defaults = dict(type="MaskRescoring", num_classes=self.num_classes)
            self.rescoring = MODELS.build({**defaults, **rescoring})

    def loss_by_feat(
        self,
        mask_preds: list[Tensor],
        segm_preds: Tensor,
        batch_gt_instances: list[InstanceData],
        batch_img_metas: list[dict[str, Any]],
        positive_infos: list[InstanceData],
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Compute the parent's losses and ``loss_rescoring`` from ground-truth masks."""
        metas = [_with_batch_shape(meta) for meta in batch_img_metas]
        losses: dict[str, Any] = super().loss_by_feat(
            mask_preds, segm_preds, batch_gt_instances, metas, positive_infos, **kwargs
        )
        if self.rescoring is not None:
            cropped = self.crop_mask_preds(mask_preds, metas, positive_infos)
            losses["loss_rescoring"] = self._ground_truth_rescoring_loss(
                cropped, batch_gt_instances, positive_infos
            )
        return losses

    def _ground_truth_rescoring_loss(
        self,
        cropped: Sequence[Tensor],
        batch_gt_instances: Sequence[InstanceData],
        positive_infos: Sequence[InstanceData],
    ) -> Tensor:
        masks, labels, targets = [], [], []
        for probs, instances, info in zip(cropped, batch_gt_instances, positive_infos, strict=True):
            count = min(len(probs), self.max_masks_to_train)
            rows = torch.arange(count, device=probs.device) * len(probs) // max(count, 1)
            inds = info.pos_assigned_gt_inds[rows]
            truth = instances.masks.to_tensor(torch.float, probs.device)[inds]  # (n, H, W)
            masks.append(probs[rows])
            labels.append(instances.labels[inds])
            size = (probs.shape[-2], probs.shape[-1])
            targets.append(F.interpolate(truth[:, None], size, mode="bilinear")[:, 0])
        probs = torch.cat(masks)
        predicted, truth = probs > 0.5, torch.cat(targets) > 0.5
        ious = (predicted & truth).sum((1, 2)) / (predicted | truth).sum((1, 2)).clamp_min(1)
        areas = truth.sum((1, 2))
        return self.rescoring.loss(probs, torch.cat(labels), ious, areas, areas > 0)

    def crop_mask_preds(
        self,
        mask_preds: list[Tensor],
        batch_img_metas: list[dict[str, Any]],
        positive_infos: list[InstanceData],
    ) -> list[Tensor]:
        """Set masks to zero outside their boxes, ``(H, W, n)`` to ``(n, H, W)`` for each image."""
        metas = [_with_batch_shape(meta) for meta in batch_img_metas]
        return super().crop_mask_preds(mask_preds, metas, positive_infos)

    def predict_by_feat(
        self,
        mask_preds: list[Tensor],
        segm_preds: Tensor | None,
        results_list: list[InstanceData],
        batch_img_metas: list[dict[str, Any]],
        rescale: bool = True,
        **kwargs: Any,
    ) -> list[InstanceData]:
        """Convert predictions to masks of the original images, with ``mask_scores``."""
        if self.rescoring is not None:
            cropped = self.crop_mask_preds(mask_preds, batch_img_metas, results_list)
            for result, probs in zip(results_list, cropped, strict=True):
                ious = self.rescoring(probs, result.labels).clamp_max(1)
                result.mask_scores = result.scores * ious
        return super().predict_by_feat(
            mask_preds, segm_preds, results_list, batch_img_metas, rescale=rescale, **kwargs
        )

    def _predict_by_feat_single(
        self,
        mask_preds: Tensor,
        bboxes: Tensor,
        img_meta: dict[str, Any],
        rescale: bool,
        cfg: OptConfigType = None,
    ) -> Tensor:
        """Resize masks of the padded batch to the original scale, and remove the padding."""
        height, width = img_meta["ori_shape"][:2]
        if not rescale:
            height, width = img_meta["img_shape"][:2]
        shapes = (img_meta["ori_shape"], _batch_shape(img_meta), img_meta["img_shape"])
        padded = [
            round(original * batch_side / side)
            for original, batch_side, side in zip(*shapes, strict=False)
        ]
        meta = {**img_meta, "ori_shape": tuple(padded)}
        masks: Tensor = super()._predict_by_feat_single(mask_preds, bboxes, meta, rescale, cfg)
        return masks[:, :height, :width]


def _batch_shape(meta: dict[str, Any]) -> tuple[int, int]:
    """Return ``(height, width)`` of the padded batch, which the prototypes cover."""
    height, width = meta.get("batch_input_shape", meta["img_shape"])[:2]
    return height, width


def _with_batch_shape(meta: dict[str, Any]) -> dict[str, Any]:
    return {**meta, "img_shape": _batch_shape(meta)}
