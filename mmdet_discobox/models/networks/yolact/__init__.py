"""YOLACT and YOLACT++ as a task network."""

from .anchor_assignment import AnchorAssignment, assign_anchors
from .bbox_head import DiscoBoxYOLACTHead
from .detector import DiscoBoxYOLACT
from .mask_rescoring import MaskRescoring
from .protonet import DiscoBoxYOLACTProtonet
from .rescoring_protonet import RescoringProtonet

__all__ = [
    "AnchorAssignment",
    "DiscoBoxYOLACT",
    "DiscoBoxYOLACTHead",
    "DiscoBoxYOLACTProtonet",
    "MaskRescoring",
    "RescoringProtonet",
    "assign_anchors",
]
