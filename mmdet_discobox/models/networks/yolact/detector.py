"""YOLACT and YOLACT++ as a task network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from mmdet.models.detectors import YOLACT
from mmdet.registry import MODELS
from mmdet.utils import ConfigType
from mmengine.structures import InstanceData
from torch import Tensor

from mmdet_discobox.models.detectors import StructuredTeachingMixin, check_module_type
from mmdet_discobox.structures import BoxObjects, MaskProposals, PseudoMasks, View

from .anchor_assignment import AnchorAssignment
from .bbox_head import BboxOutputs, DiscoBoxYOLACTHead
from .protonet import DiscoBoxYOLACTProtonet


class YOLACTOutputs(NamedTuple):
    """Raw outputs of both heads.

    Attributes:
        bbox: raw outputs of the box head.
        prototypes: ``(B, P, H, W)`` prototypes of the masks.
    """

    bbox: BboxOutputs
    prototypes: Tensor


@MODELS.register_module()
class DiscoBoxYOLACT(StructuredTeachingMixin, YOLACT):
    """YOLACT or YOLACT++ trained from boxes (Sec. 3); at test time a YOLACT.

    It has a ``DiscoBoxYOLACTHead`` and a ``DiscoBoxYOLACTProtonet``; a YOLACT++ also has deformable
    convolutions in the backbone, nine anchors per position, and ``rescoring`` in the mask head.
    Further arguments are those of :class:`.StructuredTeachingMixin`.

    Args:
        *args: arguments of ``YOLACT``.
        loss_mil: config of ``L_mil``; the paper has cross-entropy (Sec. 3.1) and a weight of 10
            (Sec. 4.2).
        **kwargs: keyword arguments of ``YOLACT`` and of the mixin.

    Raises:
        TypeError: if a head has another class.
        ValueError: if the mask head has ``rescoring`` or a semantic branch, which are trained by
            refined masks alone, and there is no structured teacher.
    """

    def __init__(
        self,
        *args: Any,
        loss_mil: ConfigType = dict(type="BoxMILLoss", form="bce", loss_weight=10.0),  # noqa: B006
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, loss_mil=loss_mil, **kwargs)
        check_module_type("bbox_head", self.bbox_head, DiscoBoxYOLACTHead)
        check_module_type("mask_head", self.mask_head, DiscoBoxYOLACTProtonet)
        for key, off in (("rescoring", None), ("with_seg_branch", False)):
            if getattr(self.mask_head, key) != off and self.structured_teacher is None:
                raise ValueError(
                    "Expected `structured_teacher` to be a config because the mask head has "
                    f"`{key}`, which is trained by refined masks, but got None. Set both, or "
                    f"`mask_head.{key}={off}`."
                )

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return int(self.bbox_head.num_classes)

    @property
    def feature_channels(self) -> int:
        """Channels of each output of the neck."""
        return int(self.bbox_head.in_channels)

    def head_outputs(self, features: Sequence[Tensor]) -> YOLACTOutputs:
        """Run the box head and the prototype network."""
        return YOLACTOutputs(self.bbox_head.outputs(features), self.mask_head.protonet(features[0]))

    def assign(self, outputs: YOLACTOutputs, objects: BoxObjects) -> AnchorAssignment:
        """Assign anchors by their IoU with the boxes."""
        return self.bbox_head.assign(outputs.bbox, objects)

    def mask_proposals(
        self,
        outputs: YOLACTOutputs,
        positives: AnchorAssignment,
        objects: BoxObjects,
        frame: tuple[int, int],
        *,
        one_per_object: bool = False,
    ) -> MaskProposals:
        """Predict one mask for each positive anchor, or for each object from mean coefficients."""
        head = self.bbox_head
        if one_per_object:
            coefficients = head.mean_coefficients(outputs.bbox, positives, objects)
        else:
            positives = positives.subsample(self.mask_head.max_masks_to_train)
            coefficients = head.coefficients(outputs.bbox, positives, objects)
        return self.mask_head.mask_proposals(outputs.prototypes, coefficients, objects, frame)

    def predict_by_outputs(
        self,
        outputs: YOLACTOutputs,
        batch_img_metas: Sequence[dict[str, Any]],
        *,
        rescale: bool = True,
    ) -> list[InstanceData]:
        """Predict instances from raw outputs."""
        *levels, _anchors = outputs.bbox
        boxes = self.bbox_head.predict_by_feat(
            *levels, batch_img_metas=batch_img_metas, rescale=False
        )
        prototypes = outputs.prototypes.permute(0, 2, 3, 1)  # (B, H, W, P)
        masks = [
            (image @ found.coeffs.t()).sigmoid()
            for image, found in zip(prototypes, boxes, strict=True)
        ]
        instances: list[InstanceData] = self.mask_head.predict_by_feat(
            masks, None, results_list=boxes, batch_img_metas=batch_img_metas, rescale=rescale
        )
        return instances

    def task_losses(self, view: View, pseudo: PseudoMasks | None) -> dict[str, Tensor]:
        """Compute ``L_det`` and the losses of re-scoring and semantic branch, where configured."""
        proposals, head = view.proposals, self.bbox_head
        losses: dict[str, Tensor] = head.losses(
            view.outputs.bbox, view.positives, proposals.objects
        )
        return {**losses, **self.mask_head.pseudo_mask_losses(view.features, proposals, pseudo)}
