"""YOLACT's prototypes with the mask re-scoring of YOLACT++."""

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
    """YOLACT's mask head with two additions; it also works in a stock, mask-supervised ``YOLACT``.

    1. Fast mask re-scoring, if configured. Its keys begin with ``rescoring.``. Predictions then
       have ``mask_scores`` beside ``scores``: mmdet's ``CocoMetric`` ranks masks by the former
       and boxes by the latter, as YOLACT++ does. Visualisers and ``DetInferencer`` show
       ``scores``.
    2. Images may fill a part of the padded batch. The parent takes relative coordinates of the
       image for those of the batch, which squeezes boxes and masks unless they are equal.

    Args:
        *args: arguments of the parent.
        rescoring: arguments of ``MaskRescoring`` but the number of classes; None is plain YOLACT.
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
        """Compute the parent's losses from true masks, and ``loss_rescoring``."""
        metas = [_of_the_frame(meta) for meta in batch_img_metas]
        losses: dict[str, Any] = super().loss_by_feat(
            mask_preds, segm_preds, batch_gt_instances, metas, positive_infos, **kwargs
        )
        if self.rescoring is not None:
            cropped = self.crop_mask_preds(mask_preds, metas, positive_infos)
            losses["loss_rescoring"] = self._rescore_true_masks(
                cropped, batch_gt_instances, positive_infos
            )
        return losses

    def _rescore_true_masks(
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
            targets.append(_shrink(truth, probs.shape[-2:]))
        probs, truth = torch.cat(masks), torch.cat(targets)
        ours, theirs = probs > 0.5, truth > 0.5
        ious = (ours & theirs).sum((1, 2)) / (ours | theirs).sum((1, 2)).clamp_min(1)
        areas = theirs.sum((1, 2))
        loss: Tensor = self.rescoring.loss(probs, torch.cat(labels), ious, areas, areas > 0)
        return loss

    def crop_mask_preds(
        self,
        mask_preds: list[Tensor],
        batch_img_metas: list[dict[str, Any]],
        positive_infos: list[InstanceData],
    ) -> list[Tensor]:
        """Set masks to zero outside their boxes, ``(H, W, n)`` to ``(n, H, W)`` per image."""
        metas = [_of_the_frame(meta) for meta in batch_img_metas]
        cropped: list[Tensor] = super().crop_mask_preds(mask_preds, metas, positive_infos)
        return cropped

    def predict_by_feat(
        self,
        mask_preds: list[Tensor],
        segm_preds: Tensor | None,
        results_list: list[InstanceData],
        batch_img_metas: list[dict[str, Any]],
        rescale: bool = True,
        **kwargs: Any,
    ) -> list[InstanceData]:
        """Turn predictions into masks of the original image, and score them."""
        if self.rescoring is not None:
            cropped = self.crop_mask_preds(mask_preds, batch_img_metas, results_list)
            for found, probs in zip(results_list, cropped, strict=True):
                quality = self.rescoring(probs, found.labels).clamp_max(1)
                found.mask_scores = found.scores * quality
        results: list[InstanceData] = super().predict_by_feat(
            mask_preds, segm_preds, results_list, batch_img_metas, rescale=rescale, **kwargs
        )
        return results

    def _predict_by_feat_single(
        self,
        mask_preds: Tensor,
        bboxes: Tensor,
        img_meta: dict[str, Any],
        rescale: bool,
        cfg: OptConfigType = None,
    ) -> Tensor:
        """Enlarge to the original size of the padded frame, and leave its padding away."""
        height, width = img_meta["ori_shape"][:2]
        if not rescale:
            height, width = img_meta["img_shape"][:2]
        frame, image = _frame(img_meta), img_meta["img_shape"]
        padded = [
            round(ori * side / whole)
            for ori, side, whole in zip(img_meta["ori_shape"], frame, image, strict=False)
        ]
        meta = {**img_meta, "ori_shape": tuple(padded)}
        masks: Tensor = super()._predict_by_feat_single(mask_preds, bboxes, meta, rescale, cfg)
        return masks[:, :height, :width]


def _frame(meta: dict[str, Any]) -> tuple[int, int]:
    """``(height, width)`` of the batch that the grid of prototypes covers."""
    height, width = meta.get("batch_input_shape", meta["img_shape"])[:2]
    return height, width


def _of_the_frame(meta: dict[str, Any]) -> dict[str, Any]:
    return {**meta, "img_shape": _frame(meta)}


def _shrink(masks: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(masks[:, None], tuple(size), mode="bilinear")[:, 0]
