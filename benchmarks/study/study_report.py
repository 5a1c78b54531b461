"""The report of a study: tables in Markdown and json, and plots, of means over the seeds."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import matplotlib

from mmdet_discobox.utils.files import write_json, write_text
from mmdet_discobox.utils.types import Json
from study_files import read_complete_json, read_json
from study_measures import TITLES
from study_tables import Plot, Row, Table

matplotlib.use("Agg")  # no window
import matplotlib.pyplot as plt  # noqa: E402

DONE, FAILED, NOT_RUN = "done", "failed", "not run"
#: measures of the plots
PLOTTED = ("ap", "ap50", "ap75")


def write_report(table: Table, out: Path) -> str:
    """Write `TABLE.md`, `TABLE.json` and the plots of the finished runs.

    Args:
        table: rows to compare.
        out: folder of the study.

    Returns:
        The table in Markdown.
    """
    rows = summary(table, out)
    text = markdown(table, rows, read_json(out / "settings.json") or {})
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / f"{table.name}.json", dict(table=table.name, rows=rows), indent=1)
    write_text(out / f"{table.name}.md", text)
    draw(table, rows, out)
    return text


def summary(table: Table, out: Path) -> list[Json]:
    """Summarise the results of each row."""
    rows = {row.name: _row_summary(row, out) for row in table.rows}
    for row in table.rows:
        rows[row.name]["ratio"] = _ratio(rows[row.name], rows.get(row.bound or ""))
    return list(rows.values())


def _ratio(row: Json, bound: Json | None) -> float | None:
    """Divide the AP by that of the bound, over the seeds of both."""
    if bound is None:
        return None
    ours, theirs = (
        dict(zip(each["seeds"], each["ap"]["values"], strict=True)) if each["ap"] else {}
        for each in (row, bound)
    )
    seeds = ours.keys() & theirs.keys()
    total = sum(theirs[seed] for seed in seeds)
    return sum(ours[seed] for seed in seeds) / total if total > 0 else None


def _row_summary(row: Row, out: Path) -> Json:
    folder = out / row.data / row.name
    results = [read_complete_json(path) for path in folder.glob("seed*/result.json")]
    results = sorted(filter(None, results), key=lambda result: result["seed"])
    runs = map(read_complete_json, sorted(folder.glob("seed*/run.json")))
    failures = {str(run["seed"]): run["failure"] for run in runs if run and run.get("failure")}
    return dict(
        row=row.name,
        title=row.title,
        state=DONE if results else FAILED if failures else NOT_RUN,
        seeds=[result["seed"] for result in results],
        failures=failures,
        revisions=sorted({str(each) for result in results for each in result["revisions"]}),
        seconds=[sum(result["seconds"].values()) for result in results],
        **{name: _spread([result["measures"][name] for result in results]) for name in TITLES},
    )


def _spread(values: list[float | None]) -> Json | None:
    known = [value for value in values if value is not None]
    if not known:
        return None
    return dict(mean=statistics.fmean(known), min=min(known), max=max(known), values=known)


def markdown(table: Table, rows: list[Json], settings: Json) -> str:
    """Format the table in Markdown; a row without a result has the reason."""
    columns = ["row", *TITLES.values(), "of the bound", "seeds"]
    lines = [" | ".join(columns), " | ".join(["---"] * len(columns))]
    lines += [" | ".join(_cells(row)) for row in rows]
    revisions = sorted({revision for row in rows for revision in row["revisions"]})
    shared = {key: value for key, value in settings.items() if key != "data"}
    notes = [
        "Percent: mean over the seeds, with minimum and maximum in brackets. *Of the bound*: share "
        "of the AP of the same network trained from masks, over the seeds of both.",
        f"Settings: {shared}. Code: {', '.join(revisions) or NOT_RUN}.",
    ]
    if digests := settings.get("data"):
        names = ", ".join(f"{name} {digest[:12]}" for name, digest in digests.items())
        notes.append(f"Photographs, by sha256: {names}.")
    body = "\n".join(f"| {line} |" for line in lines)
    return f"# {table.name}\n\n{body}\n\n" + "\n".join(notes) + "\n"


def _cells(row: Json) -> list[str]:
    reasons = [f"{seed} failed: {reason}" for seed, reason in row["failures"].items()]
    seeds = "; ".join([", ".join(map(str, row["seeds"])), *reasons] if row["seeds"] else reasons)
    measured = [_percent(row[name]) for name in TITLES] if row["state"] == DONE else None
    blank = [row["state"], *[""] * (len(TITLES) - 1)]
    ratio = "" if row["ratio"] is None else f"{row['ratio']:.1%}"
    return [row["title"], *(measured or blank), ratio, seeds.replace("|", "\\|")]


def _percent(spread: Any) -> str:
    if spread is None:
        return "-"
    mean, least, most = (f"{100 * spread[key]:.1f}" for key in ("mean", "min", "max"))
    return mean if len(spread["values"]) == 1 else f"{mean} ({least}-{most})"


def draw(table: Table, rows: list[Json], out: Path) -> None:
    """Plot the results into `*.png`: bars of the rows, or curves over a setting.

    Args:
        table: rows to compare.
        rows: summaries of its rows.
        out: folder of the study.
    """
    known = {row["row"]: row for row in rows if row["ap"]}
    if known and not table.plots:
        _bars(list(known.values()), out / f"{table.name}.png")
    for plot in table.plots:
        _curves(plot, known, out / f"{table.name}_{plot.name}.png")


def _bars(rows: list[Json], path: Path) -> None:
    figure, axes = plt.subplots(figsize=(8, 1 + 0.6 * len(rows)))
    for index, name in enumerate(PLOTTED):
        positions = [position + 0.27 * index for position in range(len(rows))]
        means, errors = _means_and_errors([row[name] for row in rows])
        axes.barh(positions, means, 0.25, xerr=errors, label=TITLES[name], capsize=2)
    titles = [row["title"] for row in rows]
    axes.set_yticks([position + 0.27 for position in range(len(rows))], titles)
    axes.invert_yaxis()
    axes.set_xlabel("percent; minimum to maximum of the seeds")
    _save(figure, axes, path)


def _curves(plot: Plot, known: dict[str, Json], path: Path) -> None:
    figure, axes = plt.subplots(figsize=(6, 4))
    for title, points in plot.curves.items():
        rows = {x: known[name] for x, name in points.items() if name in known}
        for measure in PLOTTED[: 2 if len(plot.curves) == 1 else 1] if rows else ():
            means, errors = _means_and_errors([row[measure] for row in rows.values()])
            label = f"{title}: {TITLES[measure]}"
            axes.errorbar(list(rows), means, errors, marker="o", capsize=3, label=label)
    if not axes.has_data():
        plt.close(figure)
        return
    axes.set_xscale("log" if plot.log else "linear")
    ticks = sorted({x for points in plot.curves.values() for x in points})
    axes.set_xticks(ticks, [f"{x:g}" for x in ticks], minor=False)
    axes.minorticks_off()
    axes.set_xlabel(plot.x_label)
    axes.set_ylabel("percent")
    axes.set_ylim(0, 1.1 * axes.dataLim.ymax)
    _save(figure, axes, path)


def _means_and_errors(spreads: list[Any]) -> tuple[list[float], list[list[float]]]:
    means = [100 * spread["mean"] for spread in spreads]
    below = [100 * (spread["mean"] - spread["min"]) for spread in spreads]
    above = [100 * (spread["max"] - spread["mean"]) for spread in spreads]
    # rounding can make the errors of equal values negative, which matplotlib refuses
    return means, [[max(0.0, length) for length in side] for side in (below, above)]


def _save(figure: Any, axes: Any, path: Path) -> None:
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120, bbox_inches="tight")
    plt.close(figure)
