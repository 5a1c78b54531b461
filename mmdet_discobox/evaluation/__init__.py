"""Metrics of the paper's tables."""

from __future__ import annotations

from .box_mask_iou import BoxMaskIoU
from .coco_box_metric import CocoBoxMetric
from .matched_masks import MatchedMasks, match_masks
from .multi_object_ap import multi_object_ap
from .multi_object_metric import MultiObjectCorrespondenceMetric
from .pck import pck, reference_length, transfer_errors
from .pck_metric import PCKMetric
from .pck_protocols import PROTOCOLS, PCKProtocol
from .voc_instance_metric import VOCInstanceMetric

__all__ = [
    "PROTOCOLS",
    "BoxMaskIoU",
    "CocoBoxMetric",
    "MatchedMasks",
    "MultiObjectCorrespondenceMetric",
    "PCKMetric",
    "PCKProtocol",
    "VOCInstanceMetric",
    "match_masks",
    "multi_object_ap",
    "pck",
    "reference_length",
    "transfer_errors",
]
