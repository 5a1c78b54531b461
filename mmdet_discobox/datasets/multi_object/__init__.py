"""Image pairs with several objects each, for multi-object correspondence (Sec. 4.1)."""

from __future__ import annotations

from .keypoint_objects import read_coco_keypoints
from .objects import KeypointObjects
from .pair_set import ObjectPairSet

__all__ = ["KeypointObjects", "ObjectPairSet", "read_coco_keypoints"]
