"""The table of a study, as Markdown and json: means over the seeds, and how far they spread."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

from mmdet_discobox.utils.files import write_json, write_text
from mmdet_discobox.utils.types import Json
from study_files import read_json, whole_json
from study_measures import TITLES
from study_plots import draw
from study_rows import Row, Table

DONE, FAILED, NOT_RUN = "done", "failed", "not run"


def write_report(table: Table, out: Path) -> str:
    """Write `TABLE.md`, `TABLE.json` and the plots from the runs that are there.

    Args:
        table: what is compared.
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
    """What is known of each row."""
    rows = {row.name: _row_summary(row, out) for row in table.rows}
    for row in table.rows:
        rows[row.name]["ratio"] = _ratio(rows[row.name], rows.get(row.bound or ""))
    return list(rows.values())


def _ratio(row: Json, bound: Json | None) -> float | None:
    """AP against that of the bound, over the seeds that both have."""
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
    results = [found for found in map(whole_json, folder.glob("seed*/result.json")) if found]
    results.sort(key=lambda result: result["seed"])
    begun = map(whole_json, sorted(folder.glob("seed*/run.json")))
    failures = {str(run["seed"]): run["failure"] for run in begun if run and run.get("failure")}
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
    """The table for people; a row without a result says why."""
    columns = ["row", *TITLES.values(), "of the bound", "seeds"]
    lines = [" | ".join(columns), " | ".join(["---"] * len(columns))]
    lines += [" | ".join(_cells(row)) for row in rows]
    revisions = sorted({revision for row in rows for revision in row["revisions"]})
    shared = {key: value for key, value in settings.items() if key != "data"}
    notes = [
        "Percent. Mean over the seeds, in brackets the least and the most. *Of the bound*: share "
        "of the AP of the same network trained from masks, with the seeds that both have.",
        f"Settings: {shared}. Code: {', '.join(revisions) or NOT_RUN}.",
    ]
    if digests := settings.get("data"):
        names = ", ".join(f"{name} {digest[:12]}" for name, digest in digests.items())
        notes.append(f"Photographs, by the sha256 of: {names}.")
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
