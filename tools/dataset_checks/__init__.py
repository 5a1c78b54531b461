"""Checks of a data set, for `check_dataset.py` beside this folder."""

from .dataset_check import DatasetReport, check_dataset, find_training_problems
from .training_settings import TrainingSettings
from .validation_check import check_validation

__all__ = [
    "DatasetReport",
    "TrainingSettings",
    "check_dataset",
    "check_validation",
    "find_training_problems",
]
