"""Floor 3: the structured teacher and the averaged network that feeds it."""

from .crops import crop_regions, paste_regions
from .gate import Gate
from .structured_teacher import StructuredTeacher
from .teacher_network import TeacherNetwork

__all__ = ["Gate", "StructuredTeacher", "TeacherNetwork", "crop_regions", "paste_regions"]
