"""Floor 4: the training step and the contract of the networks that it trains."""

from .module_types import check_module_type
from .structured_teaching import StructuredTeachingMixin
from .task_network import TaskNetwork, look
from .taught_images import taught_images

__all__ = ["StructuredTeachingMixin", "TaskNetwork", "check_module_type", "look", "taught_images"]
