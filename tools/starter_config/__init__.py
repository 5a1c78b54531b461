"""Whole training configs for a data set, for `check_dataset.py` beside this folder."""

from .networks import NETWORKS, Network
from .plan import Plan, plan_training
from .starter_config import DataFiles, StarterConfig, starter_config

__all__ = [
    "NETWORKS",
    "DataFiles",
    "Network",
    "Plan",
    "StarterConfig",
    "plan_training",
    "starter_config",
]
