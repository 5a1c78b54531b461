"""Hook that updates the teacher network."""

from __future__ import annotations

import math
from typing import Any

from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import Runner

from .model_access import require_hook, require_part, unwrap
from .start_condition import StartCondition


@HOOKS.register_module()
class TeacherEMAHook(Hook):
    """Update the exponential moving average of Sec. 3.5 after each optimiser step.

    The first update copies the student; from then on the average is the teacher network. A new
    training, also one from pretrained weights (``load_from``), starts with a copy of the student,
    because an old average would hardly move.

    Args:
        start: arguments of a :class:`StartCondition`; the default starts at once, as in the paper.
            ``mil_below`` requires a :class:`StructuredTeacherHook`, which updates the running loss,
            and reads the loss from the device in every iteration until the start.

    Raises:
        TypeError: at the start of training, if the model has no teacher network.
        ValueError: at the start of training, if ``start`` has ``mil_below`` and there is no
            ``StructuredTeacherHook``.
    """

    # before StructuredTeacherHook and the checkpoint, so that both get the updated teacher
    priority = "ABOVE_NORMAL"

    def __init__(self, start: dict[str, Any] | None = None) -> None:
        self.start = StartCondition(**(dict(iteration=0) if start is None else start))

    def before_train(self, runner: Runner) -> None:
        """Check that there is a teacher network, and reset that of a new training."""
        teacher = require_part(self, runner, "teacher")
        if self.start.mil_below is not None:
            require_hook(
                runner,
                "StructuredTeacherHook",
                reason="`start` of TeacherEMAHook has `mil_below` and needs the running MIL loss",
                otherwise="start at an `iteration` or a `fraction`",
            )
        if runner.iter == 0:
            teacher.restart()

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Update the teacher network if the optimiser has updated the student."""
        if not runner.optim_wrapper.should_update():
            return
        model = unwrap(runner)
        if not model.teacher.started:
            running = math.inf
            if self.start.mil_below is not None:  # the only condition that reads from the device
                running = float(model.structured_teacher.running_mil)
            reason = self.start.reason(runner, runner.iter + 1, running)
            if reason is None:
                return
            runner.logger.info(
                f"The teacher network starts after iteration {runner.iter + 1}: {reason}."
            )
        model.teacher.update_parameters(model)
