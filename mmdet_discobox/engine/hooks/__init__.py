"""Floor 6: hooks, the only modules that know the iteration."""

from .channels_last_hook import ChannelsLastHook
from .pretrained_start_hook import PretrainedStartHook
from .pseudo_label_visualization_hook import PseudoLabelVisualizationHook
from .resume_hook import ResumeHook
from .start_condition import StartCondition
from .structured_teacher_hook import StructuredTeacherHook
from .teacher_ema_hook import TeacherEMAHook
from .threads_hook import ThreadsHook

__all__ = [
    "ChannelsLastHook",
    "PretrainedStartHook",
    "PseudoLabelVisualizationHook",
    "ResumeHook",
    "StartCondition",
    "StructuredTeacherHook",
    "TeacherEMAHook",
    "ThreadsHook",
]
