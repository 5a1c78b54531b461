"""Registered backbones: EfficientNet-Lite for CPUs, and the ResNet of YOLACT++."""

from .dcn_resnet import DCNResNet
from .efficientnet_lite import EfficientNetLite

__all__ = ["DCNResNet", "EfficientNetLite"]
