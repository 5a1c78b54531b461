"""Floor 1: the records that travel between the rooms."""

from .mask_proposals import BoxObjects, MaskProposals
from .pseudo_masks import PseudoMasks

__all__ = ["BoxObjects", "MaskProposals", "PseudoMasks"]
