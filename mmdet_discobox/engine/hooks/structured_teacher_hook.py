"""Hook for the schedule of the structured losses."""

from __future__ import annotations

import math
from typing import Any

import torch
from mmdet.registry import HOOKS
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmdet_discobox.functional import check_ranges
from mmdet_discobox.models.teachers import Gate

from .mixed_settings import (
    check_batch_augments,
    check_mask_settings,
    check_moves_masks,
    check_switched_pipelines,
)
from .model_access import require_hook, require_part, unwrap
from .start_condition import StartCondition

#: iterations after which nothing in common is a collapse, and what counts as nothing
_WINDOW = 200
_NOTHING = 0.01


@HOOKS.register_module()
class StructuredTeacherHook(Hook):
    """Update the running MIL loss, and open the gates of ``L_con`` and of correspondence.

    The paper specifies no schedule. By default ``L_con`` starts at once: for an untrained student
    the teacher computes masks from colours, which keep the student away from full boxes, the
    trivial solution of multiple-instance learning; a student that has converged to them rarely
    leaves them. Correspondence starts later: it needs trained features and a filled bank, and the
    bank is filled while ``L_con`` is active.

    All state lives in buffers of the ``StructuredTeacher``, so a resumed training continues the
    schedule. A new training, also one from pretrained weights (``load_from``), starts with closed
    gates, no running loss and an empty bank.

    The running loss is a mean over the batches with objects of all ranks: a batch without masks to
    compare, or with a loss that is not finite, carries no information about the student.

    While ``L_con`` is active, a warning tells that ``teacher_valid`` or ``teacher_agreement`` was
    nothing for 200 iterations: the masks of student or teacher have collapsed, for instance to
    empty ones after too high a learning rate. All losses stay finite then.

    Args:
        consistency: arguments of the :class:`StartCondition` of ``L_con``.
        correspondence: arguments of the :class:`StartCondition` of the cross-image term and
            ``L_nce``, if the teacher has them; they never start before ``L_con``.
        smoothing: weight of a new value in the running mean of the MIL loss, in (0, 1].
        interval: iterations between two reads of the running mean, at least 1. Each read
            synchronises with the device. Only a closed gate with ``mil_below`` reads it; conditions
            on the iteration are exact.

    Raises:
        TypeError: at the start of training, if the model has no structured teacher.
        ValueError: if a setting is out of range. At the start of training, if a transform or a
            batch augment moves boxes without their true masks, model, data set and pipeline do not
            agree on whether there are any, or the model has a teacher network that no
            ``TeacherEMAHook`` updates.
    """

    priority = "NORMAL"

    def __init__(
        self,
        consistency: dict[str, Any] | None = None,
        correspondence: dict[str, Any] | None = None,
        smoothing: float = 0.1,
        interval: int = 10,
    ) -> None:
        check_ranges(smoothing=(smoothing, "(0, 1]"), interval=(interval, "[1, inf)"))
        self.consistency = StartCondition(**(consistency or dict(iteration=0)))
        self.correspondence = StartCondition(**(correspondence or dict(fraction=0.4)))
        self.smoothing = smoothing
        self.interval = interval
        self._active = 0  # iterations with L_con in this process
        self._warned = False

    def before_train(self, runner: Runner) -> None:
        """Reset the schedule of a new training; a resumed one keeps its state."""
        data = runner.train_dataloader.dataset
        model = unwrap(runner)
        true_masks = getattr(model, "true_masks", False)
        check_mask_settings(data, true_masks=true_masks)
        check_switched_pipelines(runner.hooks, true_masks=true_masks)
        if true_masks:
            check_moves_masks(data)
            check_batch_augments(model)
        teacher = self._teacher(runner)
        if getattr(model, "teacher", None) is not None:
            require_hook(
                runner,
                "TeacherEMAHook",
                reason="the model has a `teacher_network`, which never starts without its updates",
                otherwise="set `teacher_network=None` in the model",
            )
        if runner.iter == 0:
            teacher.reset()
            self._open_gates(runner, iteration=0)

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: dict[str, torch.Tensor] | None = None,
    ) -> None:
        """Update the running mean, and open the gates whose condition holds."""
        if outputs is not None and "loss_mil" in outputs:
            self._update(self._teacher(runner).running_mil, outputs["loss_mil"].detach())
        self._open_gates(runner, iteration=runner.iter + 1)
        self._active += self._teacher(runner).consistency_gate.is_open
        if self._active and self._active % _WINDOW == 0:
            self._warn_of_collapse(runner)

    def _warn_of_collapse(self, runner: Runner) -> None:
        """Warn once while the statistics in mmengine's log, which are on the host, are nothing."""
        scalars = runner.message_hub.log_scalars
        names = ("teacher_valid", "teacher_agreement")
        means = {
            name: float(scalars[f"train/{name}"].mean(_WINDOW))
            for name in names
            if f"train/{name}" in scalars
        }
        nothing = [name for name, mean in means.items() if mean < _NOTHING]
        if nothing and not self._warned:
            runner.logger.warning(
                f"{' and '.join(nothing)} were below {_NOTHING} over the last {_WINDOW} "
                "iterations: student and teacher have no masks in common, maybe because the "
                "student's are empty. Look at them (tools/browse_pseudo_labels.py). If they were "
                "good before, go back to an earlier checkpoint with a lower learning rate."
            )
        self._warned = bool(nothing)

    def _update(self, running: torch.Tensor, value: torch.Tensor) -> None:
        """Move the running mean towards the mean over the ranks with an informative batch."""
        value = value.to(running)
        counts = value.isfinite() & (value != 0)  # exactly 0: a batch without masks
        total = torch.stack([torch.where(counts, value, 0), counts.to(value)])
        all_reduce(total)
        value = total[0] / total[1].clamp_min(1)
        moved = torch.lerp(running, value, self.smoothing)
        moved = torch.where(running.isfinite(), moved, value)  # the first value
        running.copy_(torch.where(total[1] > 0, moved, running))

    def _gates(self, teacher: Any) -> list[tuple[str, Gate, StartCondition]]:
        """Return message, gate and condition of each part, in their order."""
        gates = [("L_con starts", teacher.consistency_gate, self.consistency)]
        if teacher.correspondence_gate is not None:
            message = "The cross-image term and L_nce start"
            gates.append((message, teacher.correspondence_gate, self.correspondence))
        return gates

    def _open_gates(self, runner: Runner, iteration: int) -> None:
        teacher = self._teacher(runner)
        closed = [gate for gate in self._gates(teacher) if not gate[1].is_open]
        running_mil = math.inf
        reads_loss = any(condition.mil_below is not None for _, _, condition in closed)
        if reads_loss and iteration % self.interval == 0:
            running_mil = float(teacher.running_mil)
        for message, gate, condition in closed:
            reason = condition.reason(runner, iteration, running_mil)
            if reason is None:
                return
            gate.set(True)
            runner.logger.info(f"{message} after iteration {iteration}: {reason}.")

    def _teacher(self, runner: Runner) -> Any:
        return require_part(self, runner, "structured_teacher")
