"""Floor 5: detectors."""

from .discobox_solov2 import DiscoBoxSOLOv2
from .discobox_yolact import DiscoBoxYOLACT

__all__ = ["DiscoBoxSOLOv2", "DiscoBoxYOLACT"]
