"""Backbones: one for machines without a GPU, one for YOLACT++."""

from .dcn_resnet import DCNResNet
from .efficientnet_lite import EfficientNetLite

__all__ = ["DCNResNet", "EfficientNetLite"]
