"""The schedule of the structured losses."""

from __future__ import annotations

import math
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
    would have. A fresh one, also from the weights of another (``load_from``), begins with gates
    shut, no running loss and an empty bank.

    The running mean is that of the batches with objects, over all ranks alike: a batch without
    masks to compare, or with a loss that is not finite, says nothing of the student.

    Args:
        consistency: arguments of :class:`Opening` for ``L_con``.
        correspondence: arguments of :class:`Opening` for the cross-image term and ``L_nce``, if
            the teacher has them; never before ``L_con``.
        smoothing: weight of a new value in the running mean of the MIL loss, in (0, 1].
        interval: iterations between two looks at the running mean, each of which waits for the
            device. Only a shut gate with ``mil_below`` takes them; conditions on the iteration
            hold exactly.

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
        """Begin a fresh training anew; a resumed one keeps what its checkpoint says."""
        teacher = self._teacher(runner)
        if runner.iter == 0:
            teacher.running_mil.fill_(math.inf)
            for _, gate, _ in self._gates(teacher):
                gate.set(False)
            if teacher.cross_image is not None:
                teacher.cross_image.bank.clear()
            self._look(runner, iteration=0)

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: dict[str, torch.Tensor] | None = None,
    ) -> None:
        """Update the running mean, and look whether a gate opens."""
        if outputs is not None and "loss_mil" in outputs:
            self._follow(self._teacher(runner).running_mil, outputs["loss_mil"].detach())
        self._look(runner, iteration=runner.iter + 1)

    def _follow(self, running: torch.Tensor, value: torch.Tensor) -> None:
        """Move the running mean towards the mean of the ranks whose batch says something."""
        value = value.to(running)
        counts = value.isfinite() & (value != 0)  # exactly 0 is the loss of no mask at all
        total = torch.stack([torch.where(counts, value, 0), counts.to(value)])
        all_reduce(total)
        value = total[0] / total[1].clamp_min(1)
        moved = torch.lerp(running, value, self.smoothing)
        moved = torch.where(running.isfinite(), moved, value)  # it has no value yet
        running.copy_(torch.where(total[1] > 0, moved, running))

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
        running_mil = math.inf
        follows = any(opening.mil_below is not None for _, _, opening in shut)
        if follows and iteration % self.interval == 0:
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
