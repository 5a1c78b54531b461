"""When a part of the training starts."""

from __future__ import annotations

from dataclasses import dataclass

from mmengine.runner import Runner


@dataclass(frozen=True)
class Opening:
    """The moment a gate opens: the first of its conditions that holds.

    The paper gives no such moments. A fraction of the schedule means the same for 300 pictures as
    for 100,000; a threshold on the running MIL loss follows the student instead of the clock.

    Attributes:
        iteration: open after this many iterations; 0 is from the start.
        fraction: open at this fraction of the whole training, in [0, 1].
        mil_below: open when the running mean of ``loss_mil`` falls below this value. The loss
            carries its weight ``alpha_mil``: with another weight goes another threshold.

    Raises:
        ValueError: if no condition is set, or the fraction is not in [0, 1].
    """

    iteration: int | None = None
    fraction: float | None = None
    mil_below: float | None = None

    def __post_init__(self) -> None:
        if (self.iteration, self.fraction, self.mil_below) == (None, None, None):
            raise ValueError(
                "Expected one of `iteration`, `fraction` and `mil_below` to be set but all are "
                "None. dict(iteration=0) opens at the start."
            )
        if self.fraction is not None and not 0 <= self.fraction <= 1:
            raise ValueError(f"Expected `fraction` to be in [0, 1] but got {self.fraction}.")

    def reason(self, runner: Runner, iteration: int, running_mil: float) -> str | None:
        """Say why the gate opens, or None if it stays shut.

        Args:
            runner: the runner, for the length of the schedule.
            iteration: iterations done so far.
            running_mil: running mean of the MIL loss, infinite where nothing is known of it.
        """
        if self.iteration is not None and iteration >= self.iteration:
            return f"iteration {self.iteration} is reached"
        if self.fraction is not None and iteration >= self.fraction * runner.max_iters:
            return f"{self.fraction:.0%} of {runner.max_iters} iterations are done"
        if self.mil_below is not None and running_mil < self.mil_below:
            return f"the running MIL loss {running_mil:.3f} is below {self.mil_below}"
        return None
