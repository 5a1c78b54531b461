"""DiscoBox on SOLOv2."""

from __future__ import annotations

from typing import Any

from mmdet.models.detectors import SOLOv2
from mmdet.registry import MODELS

from mmdet_discobox.models.dense_heads import DiscoBoxSOLOv2Head
from mmdet_discobox.models.dense_heads.part_types import check_part

from .structured_teaching import StructuredTeachingMixin


@MODELS.register_module()
class DiscoBoxSOLOv2(StructuredTeachingMixin, SOLOv2):
    """SOLOv2 trained from boxes (Sec. 3). At test time it is a SOLOv2.

    Its ``mask_head`` is a ``DiscoBoxSOLOv2Head``; the arguments that it adds to SOLOv2 are those of
    :class:`StructuredTeachingMixin`.

    Raises:
        TypeError: if the mask head is another.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        check_part("mask_head", self.mask_head, DiscoBoxSOLOv2Head)
