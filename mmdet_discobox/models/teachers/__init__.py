"""Floor 3: the structured teacher and the teacher network."""

from .correspondence_solver import CorrespondenceSolver
from .crops import (
    box_windows,
    crop_masks,
    crop_regions,
    paste_regions,
    paste_window,
    resample_grids,
)
from .cross_image_term import CrossImageTerm
from .gate import Gate
from .prediction_refiner import PredictionRefiner
from .structured_teacher import StructuredTeacher
from .teacher_network import ADDITIONS, TeacherNetwork

__all__ = [
    "ADDITIONS",
    "CorrespondenceSolver",
    "CrossImageTerm",
    "Gate",
    "PredictionRefiner",
    "StructuredTeacher",
    "TeacherNetwork",
    "box_windows",
    "crop_masks",
    "crop_regions",
    "paste_regions",
    "paste_window",
    "resample_grids",
]
