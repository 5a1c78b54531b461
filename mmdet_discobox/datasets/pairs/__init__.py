"""Image pairs with common key points: PF-PASCAL, PF-WILLOW, SPair-71k, COCO key points."""

from __future__ import annotations

from .coco_keypoints import read_coco_keypoint_pairs
from .keypoint_pair import KeypointImage, KeypointPair
from .pf_pascal import read_pf_pascal
from .pf_willow import read_pf_willow
from .spair import read_spair

__all__ = [
    "KeypointImage",
    "KeypointPair",
    "read_coco_keypoint_pairs",
    "read_pf_pascal",
    "read_pf_willow",
    "read_spair",
]
