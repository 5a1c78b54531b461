"""DiscoBox on SOLOv2."""

from __future__ import annotations

from mmdet.models.detectors import SOLOv2
from mmdet.registry import MODELS

from .structured_teaching import StructuredTeachingMixin


@MODELS.register_module()
class DiscoBoxSOLOv2(StructuredTeachingMixin, SOLOv2):
    """SOLOv2 trained from boxes (Sec. 3). At test time it is a SOLOv2.

    Its ``mask_head`` is a ``DiscoBoxSOLOv2Head``; the arguments that it adds to SOLOv2 are those of
    :class:`StructuredTeachingMixin`.
    """
