"""Checks of a data set, for `check_dataset.py` beside this folder."""

from .dataset_check import DatasetReport, check_dataset
from .training_settings import TrainingSettings

__all__ = ["DatasetReport", "TrainingSettings", "check_dataset"]
