"""Everything that a config names under ``model``."""

from . import backbones, detectors, losses, networks, teachers

__all__ = ["backbones", "detectors", "losses", "networks", "teachers"]
