"""Floor 6: hooks, the optimiser wrapper and its constructor."""

from . import hooks
from .bfloat16_optim_wrapper import BFloat16OptimWrapper
from .student_optim_wrapper_constructor import StudentOptimWrapperConstructor

__all__ = ["BFloat16OptimWrapper", "StudentOptimWrapperConstructor", "hooks"]
