"""Moves the teacher network after the student."""

from __future__ import annotations

from typing import Any

from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from .opening import Opening


@HOOKS.register_module()
class TeacherEMAHook(Hook):
    """Update the exponentially averaged network of Sec. 3.5, once per optimiser step.

    The first update copies the student, from then on the copy teaches.

    Args:
        start: arguments of :class:`Opening`; the paper averages from the start, which is the
            default.

    Raises:
        TypeError: when the training starts, if the model has no teacher network.
    """

    # Before StructuredTeacherHook and the checkpoint, which then both see the same teacher.
    priority = "ABOVE_NORMAL"

    def __init__(self, start: dict[str, Any] | None = None) -> None:
        self.start = Opening(**(dict(iteration=0) if start is None else start))

    def before_train(self, runner: Runner) -> None:
        """Check that there is a network to move."""
        model = _unwrap(runner)
        if getattr(model, "teacher", None) is None:
            raise TypeError(
                "Expected the model of TeacherEMAHook to have a teacher network but got "
                f"{type(model).__name__} without one. Set `teacher_network=dict()` in the model, "
                "or remove the hook."
            )

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Move the teacher if the optimiser moved the student."""
        if not runner.optim_wrapper.should_update():
            return
        model = _unwrap(runner)
        if not model.teacher.started:
            # Only a threshold on the loss has to be read from the device.
            running = float(model.structured_teacher.running_mil) if self.start.mil_below else 0.0
            reason = self.start.reason(runner, runner.iter + 1, running)
            if reason is None:
                return
            runner.logger.info(
                f"The teacher network starts after iteration {runner.iter + 1}: {reason}."
            )
        model.teacher.update_parameters(model)


def _unwrap(runner: Runner) -> Any:
    return runner.model.module if is_model_wrapper(runner.model) else runner.model
