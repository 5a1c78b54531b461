"""Floor 4: heads that train from boxes."""

from .discobox_solov2_head import DiscoBoxSOLOv2Head
from .discobox_yolact_head import DiscoBoxYOLACTHead
from .discobox_yolact_protonet import DiscoBoxYOLACTProtonet
from .mask_rescoring import MaskRescoring
from .rescoring_protonet import RescoringProtonet

__all__ = [
    "DiscoBoxSOLOv2Head",
    "DiscoBoxYOLACTHead",
    "DiscoBoxYOLACTProtonet",
    "MaskRescoring",
    "RescoringProtonet",
]
