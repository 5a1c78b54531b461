"""Floor 6: hooks and the optimiser wrapper."""

from . import hooks
from .bfloat16_optim_wrapper import BFloat16OptimWrapper

__all__ = ["BFloat16OptimWrapper", "hooks"]
