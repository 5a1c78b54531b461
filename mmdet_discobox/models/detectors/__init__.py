"""Floor 5: detectors."""

from .discobox_solov2 import DiscoBoxSOLOv2

__all__ = ["DiscoBoxSOLOv2"]
