"""Moves the teacher network after the student."""

from __future__ import annotations

import math
from typing import Any

from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from .opening import Opening
from .structured_teacher_hook import StructuredTeacherHook


@HOOKS.register_module()
class TeacherEMAHook(Hook):
    """Update the exponentially averaged network of Sec. 3.5, once per optimiser step.

    The first update copies the student, from then on the copy teaches. A fresh training begins
    with a copy too, also from the weights of another (``load_from``): the old average would hardly
    move.

    Args:
        start: arguments of :class:`Opening`; the paper averages from the start, which is the
            default. ``mil_below`` needs a :class:`StructuredTeacherHook`, which keeps the running
            loss, and reads it from the device in every iteration until then.

    Raises:
        TypeError: when the training starts, if the model has no teacher network.
        ValueError: when the training starts, if ``start`` has ``mil_below`` and there is no
            ``StructuredTeacherHook``.
    """

    # Before StructuredTeacherHook and the checkpoint, which then both see the same teacher.
    priority = "ABOVE_NORMAL"

    def __init__(self, start: dict[str, Any] | None = None) -> None:
        self.start = Opening(**(dict(iteration=0) if start is None else start))

    def before_train(self, runner: Runner) -> None:
        """Check that there is a network to move, and begin a fresh training with a copy."""
        model = _unwrap(runner)
        if getattr(model, "teacher", None) is None:
            raise TypeError(
                "Expected the model of TeacherEMAHook to have a teacher network but got "
                f"{type(model).__name__} without one. Set `teacher_network=dict()` in the model, "
                "or remove the hook."
            )
        if self.start.mil_below is not None:
            _check_running_mil(runner)
        if runner.iter == 0:
            model.teacher.restart()

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Move the teacher if the optimiser moved the student."""
        if not runner.optim_wrapper.should_update():
            return
        model = _unwrap(runner)
        if not model.teacher.started:
            running = math.inf
            if self.start.mil_below is not None:  # only this has to be read from the device
                running = float(model.structured_teacher.running_mil)
            reason = self.start.reason(runner, runner.iter + 1, running)
            if reason is None:
                return
            runner.logger.info(
                f"The teacher network starts after iteration {runner.iter + 1}: {reason}."
            )
        model.teacher.update_parameters(model)


def _check_running_mil(runner: Runner) -> None:
    """Nothing else keeps the running loss, and makes it one number for all ranks."""
    hooks = [type(hook) for hook in runner.hooks]
    if not any(issubclass(hook, StructuredTeacherHook) for hook in hooks):
        names = ", ".join(hook.__name__ for hook in hooks)
        raise ValueError(
            "Expected a StructuredTeacherHook beside TeacherEMAHook because `start` has "
            f"`mil_below`, and it keeps the running MIL loss, but got {names}. Add "
            "dict(type='StructuredTeacherHook') to `custom_hooks`, or start at an `iteration` or "
            "a `fraction`."
        )


def _unwrap(runner: Runner) -> Any:
    return runner.model.module if is_model_wrapper(runner.model) else runner.model
