"""Generated scenes with exact masks and key points, a data set without downloads."""

from __future__ import annotations

from .coco import make_dataset
from .scene import Scene, SceneObject, render_scene
from .shapes import CLASSES, KEYPOINTS

__all__ = ["CLASSES", "KEYPOINTS", "Scene", "SceneObject", "make_dataset", "render_scene"]
