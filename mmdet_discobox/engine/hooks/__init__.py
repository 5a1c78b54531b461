"""Floor 6: hooks. Time enters the training here, and nowhere else."""

from .opening import Opening
from .pseudo_label_visualization_hook import PseudoLabelVisualizationHook
from .structured_teacher_hook import StructuredTeacherHook
from .teacher_ema_hook import TeacherEMAHook

__all__ = [
    "Opening",
    "PseudoLabelVisualizationHook",
    "StructuredTeacherHook",
    "TeacherEMAHook",
]
