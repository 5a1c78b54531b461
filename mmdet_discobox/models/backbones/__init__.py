"""A backbone for machines without a GPU."""

from .efficientnet_lite import EfficientNetLite

__all__ = ["EfficientNetLite"]
