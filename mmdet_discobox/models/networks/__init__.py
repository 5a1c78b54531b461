"""Floor 5: one file or folder per task network; their contract is ``detectors/task_network.py``."""

from .box_labeler import BoxMaskHead, DiscoBoxLabeler
from .condinst import DiscoBoxCondInst, DiscoBoxCondInstBboxHead
from .rtmdet_ins import (
    DiscoBoxRTMDetIns,
    DiscoBoxRTMDetInsHead,
    DiscoBoxRTMDetInsSepBNHead,
)
from .solov2 import DiscoBoxSOLOv2, DiscoBoxSOLOv2Head
from .yolact import (
    DiscoBoxYOLACT,
    DiscoBoxYOLACTHead,
    DiscoBoxYOLACTProtonet,
    MaskRescoring,
    RescoringProtonet,
)

__all__ = [
    "BoxMaskHead",
    "DiscoBoxCondInst",
    "DiscoBoxCondInstBboxHead",
    "DiscoBoxLabeler",
    "DiscoBoxRTMDetIns",
    "DiscoBoxRTMDetInsHead",
    "DiscoBoxRTMDetInsSepBNHead",
    "DiscoBoxSOLOv2",
    "DiscoBoxSOLOv2Head",
    "DiscoBoxYOLACT",
    "DiscoBoxYOLACTHead",
    "DiscoBoxYOLACTProtonet",
    "MaskRescoring",
    "RescoringProtonet",
]
