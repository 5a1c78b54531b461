"""Suggest settings for a data set, as text to copy into a config."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmdet_discobox.annotation_files.box_table import BoxTable

from .cell_shares import CellShares
from .schedules import choose_schedule
from .training_settings import TrainingSettings

#: iterations of the shortest training of persons in ``docs/results.md``
_MIN_ITERATIONS = 558
#: largest share of the warm-up in a training
_MAX_WARM_UP = 0.25
#: finer grids that are tried, in multiples of the present ones, and the share of the boxes that
#: they must win
_FINER, _FINER_GAIN = (1.5, 2.0), 0.03
#: SOLOv2 on COCO: lower bound of the last level over the 95th percentile of the box sizes
_LAST_START = 384 / 580


@dataclass(frozen=True)
class Suggestions:
    """Settings derived from a data set.

    Attributes:
        classes: names in the order in which mmdet numbers them.
        scale_ranges: value of ``mask_head.scale_ranges``, in pixels of the resized image.
            The present ones if no others give a cell to more boxes.
        num_grids: value of ``mask_head.num_grids``; finer than the present ones if many boxes
            would have no cell.
        level_shares: share of the boxes in each of these ranges.
        present_shares: share of the boxes in each range of the present config.
        cell_share: share of the boxes that get a cell, by the assignment of the training.
        present_cell_share: the same with the present ranges and grids.
        iterations: length of the training on one device.
        schedule: text of a schedule for the number of images; None keeps the present one.
    """

    classes: tuple[str, ...]
    scale_ranges: tuple[tuple[float, float], ...]
    num_grids: tuple[int, ...]
    level_shares: tuple[float, ...]
    present_shares: tuple[float, ...]
    cell_share: float
    present_cell_share: float
    iterations: int
    schedule: str | None

    def __str__(self) -> str:
        lines = [
            "# of every data set:",
            f"metainfo = dict(classes={self.classes!r})",
            "# of mask_head (SOLOv2), bbox_head (CondInst, RTMDet-Ins) or both (YOLACT):",
            f"num_classes = {len(self.classes)}",
            *(self._cells() if self.present_shares else ()),
            f"# length of the training: {self.iterations} iterations on one device",
        ]
        return "\n".join(lines if self.schedule is None else [*lines, self.schedule])

    def _cells(self) -> list[str]:
        return [
            "# of the head of SOLOv2, the best of some by the assignment of the training:",
            f"# {self.cell_share:.0%} of the boxes get a cell (present settings: "
            f"{self.present_cell_share:.0%}); share of the boxes",
            f"# per level: {_percent(self.level_shares)} (present ranges: "
            f"{_percent(self.present_shares)})",
            f"scale_ranges = {self.scale_ranges!r}",
            f"num_grids = {list(self.num_grids)!r}",
        ]


def suggest(table: BoxTable, settings: TrainingSettings) -> Suggestions:
    """Derive settings from the boxes and the settings of the planned training."""
    factors = settings.scale_factors(table.image_sizes)[table.image_inds]
    scales = (np.sqrt(table.sides.prod(1)) * factors)[table.trained]
    present = settings.scale_ranges or ()
    shares = CellShares(table, settings)
    chosen = _choose(shares, scales, settings)
    num_images = len(table.dataset["images"])
    names = (category["name"] for category in table.dataset["categories"])
    return Suggestions(
        classes=tuple(names) if settings.classes is None else settings.classes,
        scale_ranges=chosen[0],
        num_grids=chosen[1],
        level_shares=_shares(scales, chosen[0]),
        present_shares=_shares(scales, present),
        cell_share=shares(*chosen),
        present_cell_share=shares(present, settings.num_grids[: len(present)]) if present else 0.0,
        iterations=settings.iterations(num_images),
        schedule=_schedule(settings, num_images),
    )


def _choose(
    shares: CellShares, scales: np.ndarray, settings: TrainingSettings
) -> tuple[tuple[tuple[float, float], ...], tuple[int, ...]]:
    """Choose ranges and grids by the share of the boxes that get a cell.

    Ranges scaled to the sizes of the boxes are chosen if they are at least as good as the present
    ones, and finer grids only if they give a cell to clearly more boxes: they cost time.
    """
    present = tuple((low, high) for low, high in settings.scale_ranges or ())
    scaled = scale_ranges(scales, levels=len(present) or 5)
    grids = tuple(settings.num_grids)[: len(scaled)]
    if len(grids) < len(scaled):
        grids = tuple(TrainingSettings.num_grids)[: len(scaled)]
    if not present:
        return scaled, grids  # of a network that has neither
    finer = [tuple(round(factor * grid) for grid in grids) for factor in (1.0, *_FINER)]
    best = (present, grids)
    for tried in finer:
        margin = 0.0 if tried == grids else _FINER_GAIN
        if shares(*best) >= 1 - margin:
            break
        better = max((scaled, present), key=lambda ranges: shares(ranges, tried))
        if shares(better, tried) > shares(*best) + margin:
            best = (better, tried)
    # of equals, the ranges that fit the sizes
    return (scaled, best[1]) if shares(scaled, best[1]) >= shares(*best) else best


def _schedule(settings: TrainingSettings, num_images: int) -> str | None:
    """Return the schedule of a written config if the present one is too short."""
    iterations = settings.iterations(num_images)
    if settings.max_epochs is None or not iterations:
        return None
    samples = settings.num_samples or num_images
    chosen = choose_schedule(samples, settings.batch_size, epochs=settings.max_epochs)
    enough = min(_MIN_ITERATIONS, chosen.steps)
    if iterations >= max(enough, settings.warm_up / _MAX_WARM_UP):
        return None
    return f"""\
# That is short beside its warm-up of {settings.warm_up} iterations, or beside the {_MIN_ITERATIONS}
# iterations of the shortest training on photographs in the benchmarks.
# The epochs that --write-config chooses, or yours if these are more; at most a tenth is warm-up:
train_cfg = dict(max_epochs={chosen.epochs})
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end={chosen.warm_up}),
    dict(type="CosineAnnealingLR", by_epoch=True, convert_to_iter_based=True),
]"""


def scale_ranges(scales: np.ndarray, *, levels: int = 5) -> tuple[tuple[int, int], ...]:
    """Scale the ranges of SOLOv2's levels to the sizes of the boxes.

    The lower bound doubles from level to level, and the upper bound is four times the lower. The
    lower bound of the last level is two thirds of the 95th percentile of the sizes, as that of
    SOLOv2 on COCO (384 of 580 pixels).

    Args:
        scales: ``(G,)`` ``sqrt(width * height)`` in pixels of the resized image.
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
    """Return the share of the boxes in each range."""
    inside = [(low <= scales) & (scales <= high) for low, high in ranges]
    return tuple(float(fits.mean()) if len(scales) else 0.0 for fits in inside)


def _percent(shares: Sequence[float]) -> str:
    return ", ".join(f"{share:.0%}" for share in shares) or "none"
