"""Floor 2: registered losses."""

from .box_mil_loss import BoxMILLoss, mil_loss
from .dense_nce_loss import DenseNCELoss
from .mask_consistency_loss import MaskConsistencyLoss

__all__ = ["BoxMILLoss", "DenseNCELoss", "MaskConsistencyLoss", "mil_loss"]
