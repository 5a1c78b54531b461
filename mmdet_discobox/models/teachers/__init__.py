"""Floor 3: the structured teacher and the averaged network that feeds it."""

from .correspondence_solver import CorrespondenceSolver
from .crops import crop_regions, paste_regions
from .cross_image_term import CrossImageTerm
from .gate import Gate
from .structured_teacher import StructuredTeacher
from .teacher_network import TeacherNetwork

__all__ = [
    "CorrespondenceSolver",
    "CrossImageTerm",
    "Gate",
    "StructuredTeacher",
    "TeacherNetwork",
    "crop_regions",
    "paste_regions",
]
