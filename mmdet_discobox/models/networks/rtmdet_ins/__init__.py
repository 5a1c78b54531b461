"""RTMDet-Ins as a task network."""

from .detector import DiscoBoxRTMDetIns
from .head import DiscoBoxRTMDetInsHead, DiscoBoxRTMDetInsSepBNHead

__all__ = ["DiscoBoxRTMDetIns", "DiscoBoxRTMDetInsHead", "DiscoBoxRTMDetInsSepBNHead"]
