"""Floor 4: the training step, and the contract of the task networks."""

from .colour_jitter import ColourJitter
from .image_colours import ImageColours
from .instance_tta import InstanceTTAModel
from .module_types import check_module_type, contiguous_operators
from .pseudo_label_images import pseudo_label_images
from .structured_teaching import StructuredTeachingMixin
from .task_network import TaskNetwork, look

__all__ = [
    "ColourJitter",
    "ImageColours",
    "InstanceTTAModel",
    "StructuredTeachingMixin",
    "TaskNetwork",
    "check_module_type",
    "contiguous_operators",
    "look",
    "pseudo_label_images",
]
