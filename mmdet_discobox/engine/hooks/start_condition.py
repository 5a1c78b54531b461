"""The condition under which a part of the training starts."""

from __future__ import annotations

from dataclasses import dataclass

from mmengine.runner import Runner

from mmdet_discobox.functional import check_ranges


@dataclass(frozen=True)
class StartCondition:
    """Start a part of the training as soon as one of the set conditions holds.

    The paper specifies no schedule. A fraction of the schedule suits 300 images as well as 100,000;
    a threshold on the running MIL loss depends on the student's progress instead.

    Attributes:
        iteration: start after this many iterations; 0 starts at once.
        fraction: start at this fraction of the training, in [0, 1].
        mil_below: start when the running mean of ``loss_mil`` falls below this value. The loss
            includes its weight ``alpha_mil``, so the threshold scales with the weight.

    Raises:
        ValueError: if no condition is set, the fraction is not in [0, 1], or another is negative.
    """

    iteration: int | None = None
    fraction: float | None = None
    mil_below: float | None = None

    def __post_init__(self) -> None:
        if (self.iteration, self.fraction, self.mil_below) == (None, None, None):
            raise ValueError(
                "Expected one of `iteration`, `fraction` and `mil_below` to be set but all are "
                "None. dict(iteration=0) starts at once."
            )
        check_ranges(
            iteration=(self.iteration, "[0, inf)"),
            fraction=(self.fraction, "[0, 1]"),
            mil_below=(self.mil_below, "[0, inf]"),
        )

    def reason(self, runner: Runner, iteration: int, running_mil: float) -> str | None:
        """Return the condition that holds as text for the log, None if none holds.

        Args:
            runner: the runner, for the length of the schedule.
            iteration: finished iterations.
            running_mil: running mean of the MIL loss, infinite if unknown.
        """
        if self.iteration is not None and iteration >= self.iteration:
            return f"iteration {self.iteration} is reached"
        if self.fraction is not None and iteration >= self.fraction * runner.max_iters:
            return f"{self.fraction:.0%} of {runner.max_iters} iterations are done"
        if self.mil_below is not None and running_mil < self.mil_below:
            return f"the running MIL loss {running_mil:.3f} is below {self.mil_below}"
        return None
