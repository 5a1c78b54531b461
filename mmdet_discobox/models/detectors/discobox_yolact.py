"""DiscoBox on YOLACT and YOLACT++."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmdet.models.detectors import YOLACT
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from torch import Tensor

from mmdet_discobox.models.dense_heads import DiscoBoxYOLACTHead, DiscoBoxYOLACTProtonet
from mmdet_discobox.models.dense_heads.part_types import check_part
from mmdet_discobox.structures import BoxObjects, MaskProposals, PseudoMasks

from .structured_teaching import StructuredTeachingMixin


@MODELS.register_module()
class DiscoBoxYOLACT(StructuredTeachingMixin, YOLACT):
    """YOLACT or YOLACT++ trained from boxes (Sec. 3). At test time it is a YOLACT.

    Its ``bbox_head`` is a ``DiscoBoxYOLACTHead`` and its ``mask_head`` a
    ``DiscoBoxYOLACTProtonet``; the arguments that it adds to YOLACT are those of
    :class:`StructuredTeachingMixin`. What makes a YOLACT++ is configured: deformable convolutions
    in the backbone, nine anchors at a position, and ``rescoring`` in the mask head.

    Raises:
        TypeError: if a head is another.
        ValueError: if the mask head has ``rescoring`` or a semantic branch without a structured
            teacher, from whose masks alone they can learn.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        check_part("bbox_head", self.bbox_head, DiscoBoxYOLACTHead)
        check_part("mask_head", self.mask_head, DiscoBoxYOLACTProtonet)
        for key, off in (("rescoring", None), ("with_seg_branch", False)):
            if getattr(self.mask_head, key) != off and self.structured_teacher is None:
                raise ValueError(
                    "Expected `structured_teacher` to be a config because the mask head has "
                    f"`{key}`, which learns from its masks, but got None. Set both, or "
                    f"`mask_head.{key}={off}`."
                )

    def _loss_and_proposals(
        self, features: Sequence[Tensor], samples: Sequence[DetDataSample]
    ) -> tuple[dict[str, Tensor], MaskProposals]:
        objects = BoxObjects.from_samples(samples)
        losses, chosen = self.bbox_head.loss_and_coefficients(
            features, objects, self.mask_head.max_masks_to_train
        )
        mask_losses, proposals = self.mask_head.loss_and_proposals(
            features, chosen, samples[0].batch_input_shape
        )
        return {**losses, **mask_losses}, proposals

    def _propose(
        self, features: Sequence[Tensor], samples: Sequence[DetDataSample]
    ) -> MaskProposals:
        chosen = self.bbox_head.object_coefficients(features, BoxObjects.from_samples(samples))
        proposals: MaskProposals = self.mask_head.propose(
            features, chosen, samples[0].batch_input_shape
        )
        return proposals

    def _losses_on_refined(
        self, features: Sequence[Tensor], proposals: MaskProposals, pseudo: PseudoMasks | None
    ) -> dict[str, Tensor]:
        losses: dict[str, Tensor] = self.mask_head.losses_on_refined(features, proposals, pseudo)
        return losses
