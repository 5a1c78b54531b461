"""Floor 1: records passed between the floors, and the object bank."""

from .correspondences import ContrastivePairs, Correspondences
from .image_sizes import scale_factor, visible_size
from .mask_proposals import BoxObjects, MaskProposals
from .object_bank import ObjectBank, RetrievedObjects
from .partial_masks import PartialMasks
from .pseudo_masks import PseudoLabelImage, PseudoMasks
from .true_masks import TrueMasks
from .view import View

__all__ = [
    "BoxObjects",
    "ContrastivePairs",
    "Correspondences",
    "MaskProposals",
    "ObjectBank",
    "PartialMasks",
    "PseudoLabelImage",
    "PseudoMasks",
    "RetrievedObjects",
    "TrueMasks",
    "View",
    "scale_factor",
    "visible_size",
]
