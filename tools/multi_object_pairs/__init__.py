"""Object pairs of the multi-object correspondence benchmark (Sec. 4.1), from public data sets."""

from __future__ import annotations

from .orientations import pairwise_angles, rotations_from_viewpoints
from .pairs import make_object_pairs
from .pascal3d import RIGID_CLASSES, read_pascal3d

__all__ = [
    "RIGID_CLASSES",
    "make_object_pairs",
    "pairwise_angles",
    "read_pascal3d",
    "rotations_from_viewpoints",
]
