"""Access of hooks to the detector of a runner, and to its other hooks."""

from __future__ import annotations

from typing import Any

from mmdet.registry import HOOKS
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


def require_hook(runner: Runner, name: str, *, reason: str, otherwise: str) -> None:
    """Check that a runner has a hook on which another one, or the model, depends.

    Args:
        runner: the runner.
        name: registered name of the hook; a subclass will do.
        reason: for the error, why it is needed.
        otherwise: for the error, what to change to do without.

    Raises:
        ValueError: if there is no such hook.
    """
    # by name: the two hooks that need each other cannot import each other
    kind: Any = HOOKS.get(name)
    if not any(isinstance(hook, kind) for hook in runner.hooks):
        names = ", ".join(type(hook).__name__ for hook in runner.hooks) or "none"
        raise ValueError(
            f"Expected a {name} among the hooks because {reason}, but got {names}. Add "
            f"dict(type='{name}') to `custom_hooks`, or {otherwise}."
        )
