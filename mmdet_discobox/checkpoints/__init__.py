"""Read, build, publish and convert detectors and their checkpoints."""

from .checkpoint_files import read_checkpoint, save_checkpoint, save_hashed_checkpoint
from .config_reading import read_config
from .config_text import parse_config
from .detector_building import build_detector
from .publishing import publish_checkpoint, publish_weights
from .released_checkpoint import (
    convert_released_checkpoint,
    released_config,
    rename_released_keys,
)
from .solov2_architecture import SOLOv2Architecture
from .stock_config import keep_stock_weights, stock_config, stock_config_text

__all__ = [
    "SOLOv2Architecture",
    "build_detector",
    "convert_released_checkpoint",
    "keep_stock_weights",
    "parse_config",
    "publish_checkpoint",
    "publish_weights",
    "read_checkpoint",
    "read_config",
    "released_config",
    "rename_released_keys",
    "save_checkpoint",
    "save_hashed_checkpoint",
    "stock_config",
    "stock_config_text",
]
