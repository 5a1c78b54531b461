"""The face of the package: label boxes, match objects, read and publish checkpoints."""

from mmdet_discobox.checkpoints import (
    build_detector,
    convert_released_checkpoint,
    publish_checkpoint,
    read_checkpoint,
)
from mmdet_discobox.labelling import AutoLabeler, BoxedImage, LabelRun
from mmdet_discobox.matching import CorrespondenceInferencer

__all__ = [
    "AutoLabeler",
    "BoxedImage",
    "CorrespondenceInferencer",
    "LabelRun",
    "build_detector",
    "convert_released_checkpoint",
    "publish_checkpoint",
    "read_checkpoint",
]
