"""Floor 4: heads that train from boxes."""

from .discobox_solov2_head import DiscoBoxSOLOv2Head

__all__ = ["DiscoBoxSOLOv2Head"]
