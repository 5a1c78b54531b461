"""CondInst as a task network, a complete example of the contract."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import torch
from mmdet.models.dense_heads import CondInstBboxHead
from mmdet.models.detectors import CondInst
from mmdet.registry import MODELS
from mmengine.structures import InstanceData
from torch import Tensor

from mmdet_discobox.models.detectors import StructuredTeachingMixin, check_module_type
from mmdet_discobox.structures import BoxObjects, MaskProposals, PseudoMasks, View

from .positives import Positives


class CondInstOutputs(NamedTuple):
    """Raw outputs of the heads; the first four have one tensor per level.

    Attributes:
        cls_logits: ``(B, num_classes, h, w)``.
        boxes: ``(B, 4, h, w)`` distances to the sides of the box.
        centernesses: ``(B, 1, h, w)`` logits.
        params: ``(B, P, h, w)`` parameters of the dynamic mask layers.
        mask_features: ``(B, C, H, W)`` input of these layers.
    """

    cls_logits: Sequence[Tensor]
    boxes: Sequence[Tensor]
    centernesses: Sequence[Tensor]
    params: Sequence[Tensor]
    mask_features: Tensor


@MODELS.register_module()
class DiscoBoxCondInstBboxHead(CondInstBboxHead):
    """Box head of CondInst with the layers, keys, losses and predictions of its parent.

    It differs in two places:

    1. The assignment of points is a method of its own, for :class:`.TaskNetwork`.
    2. The outputs of a step are not stored, so its graph is freed.
    """

    def points(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """Compute ``(points, 4)`` ``(x, y, stride, stride)`` in pixels for each level."""
        sizes, device = [level.shape[-2:] for level in levels], levels[0].device
        return self.prior_generator.grid_priors(sizes, device=device, with_stride=True)

    def assign(self, levels: Sequence[Tensor], objects: BoxObjects) -> Positives:
        """Assign points around the box centres like FCOS; masks are not read."""
        points = [level[:, :2] for level in self.points(levels)]
        instances = objects.to_instances()
        _, _, places, inds = self.get_targets(points, instances)
        starts = accumulate((len(image) for image in instances), initial=0)
        object_inds = torch.cat([own + start for own, start in zip(inds, starts, strict=False)])
        order = object_inds.argsort(stable=True)  # subsampling keeps a share of each object
        place_inds = torch.cat(places)[order]
        return Positives(object_inds[order], place_inds, [len(image) for image in places])

    def loss_by_feat(
        self, cls_scores: Sequence[Tensor], *args: Any, **kwargs: Any
    ) -> dict[str, Tensor]:
        """Compute ``loss_cls``, ``loss_bbox`` and ``loss_centerness``."""
        # float32, as the CUDA kernel of mmcv's focal loss does not support bfloat16
        logits = [level.float() for level in cls_scores]
        losses: dict[str, Tensor] = super().loss_by_feat(logits, *args, **kwargs)
        self._raw_positive_infos.clear()
        return losses


@MODELS.register_module()
class DiscoBoxCondInst(StructuredTeachingMixin, CondInst):
    """CondInst trained from boxes (Sec. 3); at test time a stock CondInst.

    It has a ``DiscoBoxCondInstBboxHead`` and a stock ``CondInstMaskHead`` with an unused
    ``loss_mask``. Further arguments are those of :class:`.StructuredTeachingMixin`.

    Raises:
        TypeError: if the box head has another class.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        check_module_type("bbox_head", self.bbox_head, DiscoBoxCondInstBboxHead)

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return int(self.bbox_head.num_classes)

    @property
    def feature_channels(self) -> int:
        """Channels of each output of the neck."""
        return int(self.bbox_head.in_channels)

    def head_outputs(self, features: Sequence[Tensor]) -> CondInstOutputs:
        """Run the box head and the mask branch."""
        mask_features = self.mask_head.mask_feature_head(features)
        cls_logits, boxes, centernesses, params = self.bbox_head(features)
        return CondInstOutputs(cls_logits, boxes, centernesses, params, mask_features)

    def assign(self, outputs: CondInstOutputs, objects: BoxObjects) -> Positives:
        """Assign points around the box centres."""
        return self.bbox_head.assign(outputs.cls_logits, objects)

    def mask_proposals(
        self,
        outputs: CondInstOutputs,
        positives: Positives,
        objects: BoxObjects,
        frame: tuple[int, int],
        *,
        one_per_object: bool = False,
    ) -> MaskProposals:
        """Predict one mask for each positive point.

        Logits are not linear in the parameters of the dynamic layers, so ``one_per_object`` is
        ignored: the mean of the logits of an object is an ensemble.
        """
        head = self.mask_head
        limit = head.max_masks_to_train if head.max_masks_to_train > 0 else head.topk_masks_per_img
        if limit > 0:
            positives = positives.subsample(limit)
        flat = torch.cat([level.flatten(2) for level in outputs.params], 2).transpose(1, 2)
        params = positives.select(flat, objects)  # (N, P)
        points = torch.cat(self.bbox_head.points(outputs.params))[positives.place_inds]  # (N, 4)
        features, counts, logits = outputs.mask_features, positives.image_counts, []
        for image, rows, at in zip(
            features, params.split(counts), points.split(counts), strict=True
        ):
            if len(rows):
                instances = InstanceData(param_preds=rows, points=at[:, :2], strides=at[:, 2])
                logits.append(head.forward_single(image, instances)[0])
        if not logits:
            scale = head.mask_feat_stride // head.mask_out_stride
            zero = params.sum() + features[:0].sum()  # attached to the graph
            logits = [zero.expand(0, *(side * scale for side in features.shape[-2:]))]
        stride = float(head.mask_out_stride)
        return MaskProposals(torch.cat(logits), positives.object_inds, objects, stride)

    def predict_by_outputs(
        self,
        outputs: CondInstOutputs,
        batch_img_metas: Sequence[dict[str, Any]],
        *,
        rescale: bool = True,
    ) -> list[InstanceData]:
        """Predict instances from raw outputs."""
        boxes = self.bbox_head.predict_by_feat(
            *outputs[:4], batch_img_metas=batch_img_metas, rescale=False
        )
        masks = map(self.mask_head.forward_single, outputs.mask_features, boxes)
        found: list[InstanceData] = self.mask_head.predict_by_feat(
            [logits for (logits,) in masks],
            results_list=boxes,
            batch_img_metas=batch_img_metas,
            rescale=rescale,
        )
        return found

    def task_losses(self, view: View, pseudo: PseudoMasks | None) -> dict[str, Tensor]:
        """Compute ``loss_cls``, ``loss_bbox`` and ``loss_centerness``."""
        instances = view.proposals.objects.to_instances()
        return self.bbox_head.loss_by_feat(*view.outputs[:4], instances, [])
