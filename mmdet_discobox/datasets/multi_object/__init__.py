"""Image pairs with several objects each, for multi-object correspondence (Sec. 4.1)."""

from __future__ import annotations

from .keypoint_objects import read_coco_keypoints
from .objects import KeypointObjects
from .orientations import pairwise_angles, rotations_from_viewpoints
from .pair_set import ObjectPairSet
from .pairs import make_object_pairs
from .pascal3d import RIGID_CLASSES, read_pascal3d

__all__ = [
    "RIGID_CLASSES",
    "KeypointObjects",
    "ObjectPairSet",
    "make_object_pairs",
    "pairwise_angles",
    "read_coco_keypoints",
    "read_pascal3d",
    "rotations_from_viewpoints",
]
