"""The teacher network: the student, exponentially averaged over the steps (Sec. 3.5)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn as nn
from mmengine.model import ExponentialMovingAverage

#: prefixes of the state that a DiscoBox detector adds to its task network
ADDITIONS = ("teacher.", "structured_teacher.", "loss_mil.", "loss_consistency.", "loss_nce.")


class TeacherNetwork(ExponentialMovingAverage):
    """Average the task network over the steps: ``theta_t <- m theta_t + (1 - m) theta_s``.

    It is always in evaluation mode and receives no gradient. It differs from its parent in two
    places:

    1. All parameters are updated by one fused call, and the number of updates is also stored on the
       host, so an update does not synchronise and launches few kernels.
    2. The weight of the student is ``max(1 - m, warmup / (warmup + updates))`` (departure). With
       the fixed ``m = 0.999`` of the paper the average stays close to its first copy for hundreds
       of steps, on a small data set for the whole training. ``warmup=0`` is the paper's rule.

    Args:
        model: the task network; it is copied.
        momentum: ``1 - m``, in (0, 1); the paper has ``m = 0.999``.
        warmup: number of updates after which the second weight has fallen to one half.

    Raises:
        ValueError: if ``warmup`` is negative.

    Attributes:
        started: whether there was an update; read without a synchronisation.
    """

    def __init__(self, model: nn.Module, momentum: float = 0.001, warmup: float = 10.0) -> None:
        super().__init__(model, momentum=momentum)
        if warmup < 0:
            raise ValueError(f"Expected `warmup` to be at least 0 but got {warmup}.")
        self.warmup = warmup
        self._set_updates(0)

    def _set_updates(self, updates: int) -> None:
        self._updates = updates
        # a separate flag, because torch.compile would recompile for every value of a counter
        self.started = updates > 0

    def update_parameters(self, model: nn.Module) -> None:
        """Move the average towards ``model``; the first update copies it.

        Args:
            model: the task network, possibly with further modules; parameters and buffers are
                matched by name.

        Raises:
            ValueError: at the first update, if the task network has weights that are not averaged.
        """
        if not self.started:
            self._check_complete(model)
        parameters, buffers = dict(model.named_parameters()), dict(model.named_buffers())
        # the parent's `avg_parameters` are stale after `load_state_dict(..., assign=True)`
        averages = dict(self.module.named_parameters())
        torch._foreach_lerp_(
            [average.data for average in averages.values()],
            [parameters[name].data for name in averages],
            self._student_weight(),
        )
        for name, average in self.module.named_buffers():
            average.copy_(buffers[name])
        self.steps += 1
        self._set_updates(self._updates + 1)

    def _check_complete(self, model: nn.Module) -> None:
        """Check that the average has all weights of the task network."""
        weights = [name for name in model.state_dict() if not name.startswith(ADDITIONS)]
        missing = sorted(set(weights) - self.module.state_dict().keys())
        if missing:
            raise ValueError(
                "Expected the teacher network to average all weights of the task network, but "
                f"{len(missing)} were added after it was copied, first {missing[0]!r}. Add modules "
                "in the class of the task network, which `StructuredTeachingMixin` comes before: "
                "class MyNetwork(SOLOv2), then class DiscoBoxMyNetwork(StructuredTeachingMixin, "
                "MyNetwork)."
            )

    def restart(self) -> None:
        """Reset the number of updates: the next one copies the student again."""
        self.steps.zero_()
        self._set_updates(0)

    def _student_weight(self) -> float:
        if not self._updates:
            return 1.0
        warmup = self.warmup / (self.warmup + self._updates) if self.warmup else 0.0
        return max(self.momentum, warmup)

    def train(self, mode: bool = True) -> TeacherNetwork:
        """Stay in evaluation mode regardless of ``mode``."""
        return super().train(False)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._set_updates(int(self.steps))
