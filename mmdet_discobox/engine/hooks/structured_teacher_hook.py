"""The schedule of the structured losses."""

from __future__ import annotations

from typing import Any

import torch
from mmdet.registry import HOOKS
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from mmdet_discobox.models.teachers import Gate

from .opening import Opening


@HOOKS.register_module()
class StructuredTeacherHook(Hook):
    """Keep the running MIL loss and open the gates of ``L_con``, and of correspondences.

    The paper says nothing of when they start. ``L_con`` starts at once: of a student that knows
    nothing yet the teacher makes masks by colour, which keep it from the trivial solution of
    multiple-instance learning, the full box. A student that has settled in it before is hard to
    move. Matching waits for features that are worth it, and for a bank to match with, which fills
    while ``L_con`` is on.

    What it keeps lives in buffers of the ``StructuredTeacher``: a resumed training goes on as it
    would have.

    Args:
        consistency: arguments of :class:`Opening` for ``L_con``.
        correspondence: arguments of :class:`Opening` for the cross-image term and ``L_nce``, if
            the teacher has them; never before ``L_con``.
        smoothing: weight of a new value in the running mean of the MIL loss, in (0, 1].
        interval: iterations between two looks at the running mean. It is averaged over the ranks
            then, and read, which waits for the device.

    Raises:
        TypeError: when the training starts, if the model has no structured teacher.
    """

    priority = "NORMAL"

    def __init__(
        self,
        consistency: dict[str, Any] | None = None,
        correspondence: dict[str, Any] | None = None,
        smoothing: float = 0.1,
        interval: int = 10,
    ) -> None:
        self.consistency = Opening(**(consistency or dict(iteration=0)))
        self.correspondence = Opening(**(correspondence or dict(fraction=0.4)))
        self.smoothing = smoothing
        self.interval = interval

    def before_train(self, runner: Runner) -> None:
        """Shut the gate of a fresh training; a resumed one keeps what its checkpoint says."""
        teacher = self._teacher(runner)
        if runner.iter == 0:
            teacher.running_mil.fill_(float("inf"))
            for _, gate, _ in self._gates(teacher):
                gate.set(False)
            self._look(runner, iteration=0)

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: dict[str, torch.Tensor] | None = None,
    ) -> None:
        """Update the running mean and, every ``interval`` iterations, look at the gate."""
        teacher = self._teacher(runner)
        if outputs is not None and "loss_mil" in outputs:
            value = outputs["loss_mil"].detach().to(teacher.running_mil)
            mean = torch.lerp(teacher.running_mil, value, self.smoothing)
            first = torch.isinf(teacher.running_mil)
            teacher.running_mil.copy_(torch.where(first, value, mean))
        self._look(runner, iteration=runner.iter + 1)

    def _gates(self, teacher: Any) -> list[tuple[str, Gate, Opening]]:
        """What opens, in its order."""
        gates = [("L_con starts", teacher.consistency_gate, self.consistency)]
        if teacher.cross_image is not None:
            matching = "The cross-image term and L_nce start"
            gates.append((matching, teacher.cross_image.gate, self.correspondence))
        return gates

    def _look(self, runner: Runner, iteration: int) -> None:
        teacher = self._teacher(runner)
        shut = [gate for gate in self._gates(teacher) if not gate[1].is_open]
        if not shut or iteration % self.interval:
            return
        all_reduce(teacher.running_mil, op="mean")
        running_mil = float(teacher.running_mil)
        for message, gate, opening in shut:
            reason = opening.reason(runner, iteration, running_mil)
            if reason is None:
                return
            gate.set(True)
            runner.logger.info(f"{message} after iteration {iteration}: {reason}.")

    @staticmethod
    def _teacher(runner: Runner) -> Any:
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        teacher = getattr(model, "structured_teacher", None)
        if teacher is None:
            raise TypeError(
                "Expected the model of StructuredTeacherHook to have a `structured_teacher` but "
                f"got {type(model).__name__} without one. Use a DiscoBox detector with "
                "`structured_teacher=dict(type='StructuredTeacher')`, or remove the hook."
            )
        return teacher
