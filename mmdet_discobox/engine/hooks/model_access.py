"""Access of hooks to the detector of a runner."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

#: setting of the model that adds each sub-module
_SETTINGS = {
    "structured_teacher": "structured_teacher=dict(type='StructuredTeacher')",
    "teacher": "teacher_network=dict()",
}


def unwrap(runner: Runner) -> Any:
    """Return the detector of a runner, without a wrapper for distributed training."""
    return runner.model.module if is_model_wrapper(runner.model) else runner.model


def require_part(hook: Hook, runner: Runner, name: str) -> Any:
    """Return a sub-module of the detector that a hook needs.

    Args:
        hook: the hook, named in the error.
        runner: the runner.
        name: ``'structured_teacher'`` or ``'teacher'``.

    Raises:
        TypeError: if the detector has no such sub-module.
    """
    model = unwrap(runner)
    part = getattr(model, name, None)
    if part is None:
        raise TypeError(
            f"Expected the model of {type(hook).__name__} to have a `{name}` but got "
            f"{type(model).__name__} without one. Set `{_SETTINGS[name]}` in the model of a "
            "DiscoBox detector, or remove the hook."
        )
    return part
