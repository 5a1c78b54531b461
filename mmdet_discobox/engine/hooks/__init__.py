"""Floor 6: hooks. Time enters the training here, and nowhere else."""

from .channels_last_hook import ChannelsLastHook
from .opening import Opening
from .pseudo_label_visualization_hook import PseudoLabelVisualizationHook
from .structured_teacher_hook import StructuredTeacherHook
from .teacher_ema_hook import TeacherEMAHook

__all__ = [
    "ChannelsLastHook",
    "Opening",
    "PseudoLabelVisualizationHook",
    "StructuredTeacherHook",
    "TeacherEMAHook",
]
