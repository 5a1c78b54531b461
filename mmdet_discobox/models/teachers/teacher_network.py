"""The exponentially averaged network of Sec. 3.5."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn as nn
from mmengine.model import ExponentialMovingAverage

#: prefixes of the state that a DiscoBox detector adds to its task network
ADDITIONS = ("teacher.", "structured_teacher.")


class TeacherNetwork(ExponentialMovingAverage):
    """A copy of the task network that follows it: ``theta_t <- m theta_t + (1 - m) theta_s``.

    Differs from its parent in two places:

    1. All parameters move in one fused call, and the number of updates is also kept on the host:
       an update waits for no device and launches few kernels.
    2. The average is young at first. With a fixed ``m = 0.999`` a teacher is still its own first
       copy after a few hundred steps, which on a small data set is the whole training. The step
       towards the student is therefore ``max(1 - m, warmup / (warmup + updates))``; ``warmup=0``
       is the paper's rule.

    It is never trained: no gradients, always in evaluation mode.

    Args:
        model: the task network; it is copied.
        momentum: ``1 - m``, in (0, 1). The paper has m = 0.999 (Sec. 3.5).
        warmup: length of the young average, in updates.

    Attributes:
        started: whether it holds weights of the student, known without waiting for the device.
    """

    def __init__(self, model: nn.Module, momentum: float = 0.001, warmup: float = 10.0) -> None:
        super().__init__(model, momentum=momentum)
        if warmup < 0:
            raise ValueError(f"Expected `warmup` to be at least 0 but got {warmup}.")
        self.warmup = warmup
        self._count(0)

    def _count(self, updates: int) -> None:
        self._updates = updates
        # A flag of its own, as torch.compile would compile anew for each number that is read.
        self.started = updates > 0

    def update_parameters(self, model: nn.Module) -> None:
        """Move towards ``model``; the first update copies it.

        Args:
            model: the task network, or the detector that holds it; parameters and buffers are
                found by name.

        Raises:
            ValueError: at the first update, if the task network has weights that are not averaged.
        """
        if not self.started:
            self._check_complete(model)
        parameters, buffers = dict(model.named_parameters()), dict(model.named_buffers())
        averages = [parameter.data for parameter in self.avg_parameters.values()]
        sources = [parameters[name].data for name in self.avg_parameters]
        torch._foreach_lerp_(averages, sources, self._step())
        for name, average in self.module.named_buffers():
            average.copy_(buffers[name])
        self.steps += 1
        self._count(self._updates + 1)

    def _check_complete(self, model: nn.Module) -> None:
        """Check that no weight of the task network lies outside the average."""
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
        """Forget the average: the next update copies, and until then it has not started."""
        self.steps.zero_()
        self._count(0)

    def _step(self) -> float:
        if not self._updates:
            return 1.0
        young = self.warmup / (self.warmup + self._updates) if self.warmup else 0.0
        return max(self.momentum, young)

    def train(self, mode: bool = True) -> TeacherNetwork:
        """Stay in evaluation mode, whatever is asked."""
        return super().train(False)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._count(int(self.steps))
