"""Floor 1: the records that travel between the rooms."""

from .correspondences import Correspondences, TaughtPairs
from .mask_proposals import BoxObjects, MaskProposals
from .object_bank import ObjectBank, RetrievedObjects
from .pseudo_masks import PseudoMasks
from .taught_image import TaughtImage
from .view import View

__all__ = [
    "BoxObjects",
    "Correspondences",
    "MaskProposals",
    "ObjectBank",
    "PseudoMasks",
    "RetrievedObjects",
    "TaughtImage",
    "TaughtPairs",
    "View",
]
