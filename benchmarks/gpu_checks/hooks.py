"""The hooks of a training around a single step, without a runner."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

from torch import nn

from mmdet_discobox.engine.hooks import StructuredTeacherHook, TeacherEMAHook


def hooked_runner(model: nn.Module) -> Any:
    """Return an object with the attributes of a runner that the hooks read, at iteration 50 of 100.

    Args:
        model: the detector, or a wrapper of it.
    """
    return SimpleNamespace(
        model=model,
        iter=50,
        max_iters=100,
        hooks=[TeacherEMAHook(), StructuredTeacherHook()],
        optim_wrapper=SimpleNamespace(should_update=lambda: True),
        logger=logging.getLogger("gpu_check"),
    )


def after_step(runner: Any, log: dict[str, Any]) -> None:
    """Call the hooks after a step.

    Args:
        runner: of :func:`hooked_runner`.
        log: losses of the step.
    """
    for hook in runner.hooks:
        hook.after_train_iter(runner, 0, outputs=log)
