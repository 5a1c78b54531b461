"""Optimiser constructor that leaves out the teacher network."""

from __future__ import annotations

from typing import Any

import torch.nn as nn
from mmdet.registry import OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.optim import DefaultOptimWrapperConstructor

from mmdet_discobox.models.teachers import TeacherNetwork


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class StudentOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """Apply ``paramwise_cfg`` to the student alone.

    The parent logs a warning for each weight without a gradient, hundreds of lines for the teacher
    network. The optimiser is the same. Without ``paramwise_cfg`` there is no difference.
    """

    def add_params(
        self, params: list[dict[str, Any]], module: nn.Module, *args: Any, **kwargs: Any
    ) -> None:
        """Add a parameter group for each weight of ``module``, unless it is the teacher network."""
        if not isinstance(module, TeacherNetwork):
            super().add_params(params, module, *args, **kwargs)
