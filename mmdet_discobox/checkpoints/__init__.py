"""Read, build, publish and convert detectors and their checkpoints."""

from .checkpoint_files import read_checkpoint, save_checkpoint, save_hashed_checkpoint
from .detector_building import build_detector
from .publishing import publish_checkpoint, publish_weights
from .released_checkpoint import (
    convert_released_checkpoint,
    released_config,
    rename_released_keys,
)
from .solov2_architecture import SOLOv2Architecture

__all__ = [
    "SOLOv2Architecture",
    "build_detector",
    "convert_released_checkpoint",
    "publish_checkpoint",
    "publish_weights",
    "read_checkpoint",
    "released_config",
    "rename_released_keys",
    "save_checkpoint",
    "save_hashed_checkpoint",
]
