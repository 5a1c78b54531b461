"""The length of a training: suggestions of the check and written configs have the same."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

#: shortest training in epochs and in steps; the rows of 12 epochs in `docs/results.md` have 1,116
_MIN_EPOCHS, _MIN_STEPS = 12, 1200
#: epochs of the smallest data sets
_MAX_EPOCHS = 300
#: warm-up as a share of the training, and its longest
_WARM_UP, _MAX_WARM_UP = 0.1, 500


@dataclass(frozen=True)
class Schedule:
    """Length of a training on one device.

    Attributes:
        epochs: its epochs.
        steps: the same in steps.
        warm_up: steps of the warm-up.
    """

    epochs: int
    steps: int
    warm_up: int


def choose_schedule(samples: int, batch_size: int, *, epochs: int = 0) -> Schedule:
    """Choose a schedule that is long enough for the number of samples.

    Args:
        samples: samples of an epoch.
        batch_size: samples of a step.
        epochs: epochs that it has at least.
    """
    steps = ceil(samples / batch_size)
    epochs = max(epochs, _MIN_EPOCHS, min(ceil(_MIN_STEPS / steps), _MAX_EPOCHS))
    return Schedule(epochs, epochs * steps, min(ceil(_WARM_UP * epochs * steps), _MAX_WARM_UP))
