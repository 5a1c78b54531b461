"""Everything that a config names under ``model``."""

from . import backbones, dense_heads, detectors, losses, teachers

__all__ = ["backbones", "dense_heads", "detectors", "losses", "teachers"]
