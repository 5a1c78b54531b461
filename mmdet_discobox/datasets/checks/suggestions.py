"""Settings that fit a data set, as text to copy into a config."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np

from .box_table import BoxTable
from .training_settings import TrainingSettings

#: the fewest iterations of the trainings in ``docs/benchmarks.md``: on photographs
_FEW_ITERATIONS = 558
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
        latest_opening: iteration by which ``L_con`` starts at the latest, None if only the MIL loss
            tells.
        max_epochs: epochs that make a short training long enough, None if it is.
        consistency: arguments of ``StructuredTeacherHook``.
    """

    classes: tuple[str, ...]
    scale_ranges: tuple[tuple[int, int], ...]
    level_shares: tuple[float, ...]
    present_shares: tuple[float, ...]
    iterations: int
    latest_opening: int | None
    max_epochs: int | None
    consistency: Mapping[str, Any]

    def __str__(self) -> str:
        opening = (
            "as soon as the MIL loss is low"
            if self.latest_opening is None
            else f"after iteration {self.latest_opening} at the latest"
        )
        hook = ", ".join(f"{key}={value!r}" for key, value in self.consistency.items())
        lines = [
            f"metainfo = dict(classes={self.classes!r})",
            f"num_classes = {len(self.classes)}",
            "# SOLOv2's ranges on COCO, moved to the sizes of these boxes; share of the boxes that",
            f"# each level trains: {_percent(self.level_shares)} (with the present ranges: "
            f"{_percent(self.present_shares)})",
            f"scale_ranges = {self.scale_ranges!r}",
            f"# {self.iterations} iterations on one device; L_con starts {opening}",
            'custom_hooks = [dict(type="TeacherEMAHook"), '
            f'dict(type="StructuredTeacherHook", consistency=dict({hook}))]',
        ]
        if self.max_epochs is not None:
            lines.append(
                f"# few iterations: {self.max_epochs} epochs make {_FEW_ITERATIONS}, the "
                "shortest training on photographs that was measured"
            )
            lines.append(f"max_epochs = {self.max_epochs}")
        return "\n".join(lines)


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
    iterations = settings.iterations(num_images)
    fraction, iteration = (settings.consistency.get(key) for key in ("fraction", "iteration"))
    moments = [] if fraction is None else [ceil(fraction * iterations)]
    moments += [] if iteration is None else [iteration]
    short = settings.max_epochs is not None and 0 < iterations < _FEW_ITERATIONS
    steps = ceil(num_images / settings.batch_size)
    names = (category["name"] for category in table.dataset["categories"])
    return Suggestions(
        classes=tuple(names) if settings.classes is None else settings.classes,
        scale_ranges=ranges,
        level_shares=_shares(scales, ranges),
        present_shares=_shares(scales, present),
        iterations=iterations,
        latest_opening=min(moments, default=None),
        max_epochs=ceil(_FEW_ITERATIONS / steps) if short else None,
        consistency=settings.consistency,
    )


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
