"""Floor 1: records passed between the floors, and the object bank."""

from .correspondences import ContrastivePairs, Correspondences
from .mask_proposals import BoxObjects, MaskProposals
from .object_bank import ObjectBank, RetrievedObjects
from .pseudo_masks import PseudoLabelImage, PseudoMasks
from .view import View

__all__ = [
    "BoxObjects",
    "ContrastivePairs",
    "Correspondences",
    "MaskProposals",
    "ObjectBank",
    "PseudoLabelImage",
    "PseudoMasks",
    "RetrievedObjects",
    "View",
]
