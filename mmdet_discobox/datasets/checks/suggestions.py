"""Settings that fit a data set, as text to copy into a config."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np

from .box_table import BoxTable
from .training_settings import TrainingSettings

#: the fewest iterations of the trainings in ``docs/benchmarks.md``: on photographs
_FEW_ITERATIONS = 558
#: share of a training that is warm-up where this suggests it, and the share that is too much
_WARM_UP, _LONG_WARM_UP = 0.1, 0.25
#: SOLOv2 on COCO: what the last level starts at, over the size that 5 % of the boxes exceed
_LAST_START = 384 / 580


@dataclass(frozen=True)
class Suggestions:
    """Settings that follow from the data.

    Attributes:
        classes: names in the order in which mmdet numbers them.
        scale_ranges: for ``mask_head.scale_ranges``, in pixels of the resized picture.
        level_shares: share of the boxes that each of these levels trains.
        present_shares: the same for the ranges that the config has now.
        iterations: length of the training on one device.
        schedule: text of a schedule that fits the number of pictures; None if the present one does.
    """

    classes: tuple[str, ...]
    scale_ranges: tuple[tuple[int, int], ...]
    level_shares: tuple[float, ...]
    present_shares: tuple[float, ...]
    iterations: int
    schedule: str | None

    def __str__(self) -> str:
        lines = [
            f"metainfo = dict(classes={self.classes!r})",
            f"num_classes = {len(self.classes)}",
            "# SOLOv2's ranges on COCO, moved to the sizes of these boxes; share of the boxes that",
            f"# each level trains: {_percent(self.level_shares)} (with the present ranges: "
            f"{_percent(self.present_shares)})",
            f"scale_ranges = {self.scale_ranges!r}",
            f"# {self.iterations} iterations on one device",
        ]
        return "\n".join(lines if self.schedule is None else [*lines, self.schedule])


def suggest(table: BoxTable, settings: TrainingSettings) -> Suggestions:
    """Derive settings from the boxes.

    Args:
        table: the boxes.
        settings: of the training that is planned.
    """
    factors = settings.factors(table.image_sizes)[table.image_inds]
    scales = (np.sqrt(table.sides.prod(1)) * factors)[table.trained]
    present = settings.scale_ranges or ()
    ranges = scale_ranges(scales, levels=len(present) or 5)
    num_images = len(table.dataset["images"])
    names = (category["name"] for category in table.dataset["categories"])
    return Suggestions(
        classes=tuple(names) if settings.classes is None else settings.classes,
        scale_ranges=ranges,
        level_shares=_shares(scales, ranges),
        present_shares=_shares(scales, present),
        iterations=settings.iterations(num_images),
        schedule=_schedule(settings, num_images),
    )


def _schedule(settings: TrainingSettings, num_images: int) -> str | None:
    """Schedule of a short training: long enough, and not all of it warm-up."""
    iterations = settings.iterations(num_images)
    if settings.max_epochs is None or not iterations:
        return None
    if iterations >= max(_FEW_ITERATIONS, settings.warm_up / _LONG_WARM_UP):
        return None
    steps = ceil(num_images / settings.batch_size)
    epochs = max(settings.max_epochs, ceil(_FEW_ITERATIONS / steps))
    warm_up = ceil(epochs * steps * _WARM_UP)
    return f"""\
# {settings.warm_up} of them warm-up. Rather a tenth, and {_FEW_ITERATIONS} iterations or more,
# which is the shortest training on photographs that was measured:
train_cfg = dict(max_epochs={epochs})
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end={warm_up}),
    dict(type="CosineAnnealingLR", by_epoch=True, convert_to_iter_based=True),
]"""


def scale_ranges(scales: np.ndarray, *, levels: int = 5) -> tuple[tuple[int, int], ...]:
    """Spread the levels of SOLOv2 over the sizes of the boxes.

    Each level starts at twice the size of the one before and reaches to four times its own start.
    The last starts at two thirds of the size that 5 % of the boxes exceed, where SOLOv2's does on
    COCO (384 pixels, and 580).

    Args:
        scales: ``(G,)`` ``sqrt(width * height)`` in pixels of the resized picture.
        levels: number of levels, at least 2.

    Returns:
        Smallest and largest size of each level.
    """
    large = np.percentile(scales, 95) if len(scales) else 580.0
    start = max(round(_LAST_START * large / 2 ** (levels - 2)), 1)
    starts = [start * 2**level for level in range(levels - 1)]
    inner = [(low, 4 * low) for low in starts[:-1]]
    return ((1, 2 * start), *inner, (starts[-1], max(2048, 4 * starts[-1])))


def _shares(scales: np.ndarray, ranges: Sequence[tuple[float, float]]) -> tuple[float, ...]:
    """Share of the boxes within each range."""
    inside = [(low <= scales) & (scales <= high) for low, high in ranges]
    return tuple(float(fits.mean()) if len(scales) else 0.0 for fits in inside)


def _percent(shares: Sequence[float]) -> str:
    return ", ".join(f"{share:.0%}" for share in shares) or "none"
