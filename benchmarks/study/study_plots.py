"""Pictures of a study: bars of its rows, or curves over a setting."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

from mmdet_discobox.utils.types import Json
from study_measures import TITLES
from study_rows import Plot, Table

matplotlib.use("Agg")  # no window
import matplotlib.pyplot as plt  # noqa: E402

SHOWN = ("ap", "ap50", "ap75")


def draw(table: Table, rows: list[Json], out: Path) -> list[Path]:
    """Draw what has been measured, nothing where nothing has.

    Args:
        table: what is compared.
        rows: the summaries of its rows.
        out: folder to write `*.png` into.

    Returns:
        The files.
    """
    known = {row["row"]: row for row in rows if row["ap"]}
    if not table.plots:
        return [_bars(list(known.values()), out / f"{table.name}.png")] if known else []
    drawn = [_curves(plot, known, out / f"{table.name}_{plot.name}.png") for plot in table.plots]
    return [path for path in drawn if path]


def _bars(rows: list[Json], path: Path) -> Path:
    figure, axes = plt.subplots(figsize=(8, 1 + 0.6 * len(rows)))
    for index, name in enumerate(SHOWN):
        places = [place + 0.27 * index for place in range(len(rows))]
        means, errors = _means_and_errors([row[name] for row in rows])
        axes.barh(places, means, 0.25, xerr=errors, label=TITLES[name], capsize=2)
    axes.set_yticks([place + 0.27 for place in range(len(rows))], [row["title"] for row in rows])
    axes.invert_yaxis()
    axes.set_xlabel("percent; least to most of the seeds")
    return _save(figure, axes, path)


def _curves(plot: Plot, known: dict[str, Json], path: Path) -> Path | None:
    figure, axes = plt.subplots(figsize=(6, 4))
    for title, points in plot.curves.items():
        there = {x: known[name] for x, name in points.items() if name in known}
        for measure in SHOWN[: 2 if len(plot.curves) == 1 else 1] if there else ():
            means, errors = _means_and_errors([row[measure] for row in there.values()])
            label = f"{title}: {TITLES[measure]}"
            axes.errorbar(list(there), means, errors, marker="o", capsize=3, label=label)
    if not axes.has_data():
        plt.close(figure)
        return None
    axes.set_xscale("log" if plot.log else "linear")
    ticks = sorted({x for points in plot.curves.values() for x in points})
    axes.set_xticks(ticks, [f"{x:g}" for x in ticks], minor=False)
    axes.minorticks_off()
    axes.set_xlabel(plot.x_label)
    axes.set_ylabel("percent")
    axes.set_ylim(0, 1.1 * axes.dataLim.ymax)
    return _save(figure, axes, path)


def _means_and_errors(spreads: list[Any]) -> tuple[list[float], list[list[float]]]:
    means = [100 * spread["mean"] for spread in spreads]
    below = [100 * (spread["mean"] - spread["min"]) for spread in spreads]
    above = [100 * (spread["max"] - spread["mean"]) for spread in spreads]
    # a mean of equal values may be off by a bit, and matplotlib wants no negative lengths
    return means, [[max(0.0, length) for length in side] for side in (below, above)]


def _save(figure: Any, axes: Any, path: Path) -> Path:
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120, bbox_inches="tight")
    plt.close(figure)
    return path
