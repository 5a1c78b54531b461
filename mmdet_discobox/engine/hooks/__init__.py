"""Floor 6: hooks. Time enters the training here, and nowhere else."""

from .opening import Opening
from .structured_teacher_hook import StructuredTeacherHook
from .teacher_ema_hook import TeacherEMAHook

__all__ = ["Opening", "StructuredTeacherHook", "TeacherEMAHook"]
