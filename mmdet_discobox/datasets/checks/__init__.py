"""Checks of a data set, all of which :mod:`mmdet_discobox.datasets.dataset_check` runs."""

from .box_findings import box_findings
from .box_table import BoxTable
from .findings import Finding, Level
from .image_findings import image_findings
from .suggestions import Suggestions, scale_ranges, suggest
from .training_settings import TrainingSettings

__all__ = [
    "BoxTable",
    "Finding",
    "Level",
    "Suggestions",
    "TrainingSettings",
    "box_findings",
    "image_findings",
    "scale_ranges",
    "suggest",
]
