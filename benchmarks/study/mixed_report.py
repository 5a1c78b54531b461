"""Table and plot of the study of some true masks."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from mixed_runs import DETECTORS, KINDS, LABELS
from mixed_shares import deviation
from mmdet_discobox.utils.files import write_json, write_text
from mmdet_discobox.utils.types import Json
from study_files import read_complete_json

TITLES = dict(
    others="label IoU, training objects without a mask",
    val="label IoU, validation",
    ap="mask AP",
    ap75="AP75",
)
NOTE = (
    "Percent: mean over the seeds ± standard deviation; in brackets the share of IoUs above 0.75. "
    "At 100 %, (c) is (a)."
)
#: kind and share -> results of its seeds
Results = dict[tuple[str, int], list[Json]]


def read_results(out: Path, data: str) -> Results:
    """Read the results of all finished runs, sorted by kind and share."""
    found: Results = defaultdict(list)
    for path in sorted((out / data).glob("*/seed*/result.json")):
        kind, _, share = path.parts[-3].rpartition("_")
        result = read_complete_json(path)
        if result and kind in KINDS:
            found[kind, int(share)].append(result["measures"])
    order = list(KINDS)
    return dict(sorted(found.items(), key=lambda item: (order.index(item[0][0]), item[0][1])))


def write_report(out: Path, data: str) -> str:
    """Write table, numbers and plot of the finished runs; return the table.

    They are `OUT/mixed_DATA.md`, `.json` and `.png`.
    """
    out.mkdir(parents=True, exist_ok=True)
    results = read_results(out, data)
    text = f"{table(results)}\n\n{NOTE}\n"
    path = out / f"mixed_{data}"
    numbers = [dict(row=kind, share=s, measures=each) for (kind, s), each in results.items()]
    write_json(path.with_suffix(".json"), numbers, indent=1)
    write_text(path.with_suffix(".md"), text)
    draw(results, path.with_suffix(".png"))
    return text


def table(results: Results) -> str:
    """Format the table in Markdown: a row of each kind and share, without empty columns."""
    cells = {key: {name: _cell(runs, name) for name in TITLES} for key, runs in results.items()}
    used = [name for name in TITLES if any(row[name] for row in cells.values())]
    lines = [["trained on", "masks", "seeds", *(TITLES[name] for name in used)]]
    lines.append(["---"] * len(lines[0]))
    for (kind, share), row in cells.items():
        measured = [row[name] or "-" for name in used]
        lines.append([KINDS[kind], f"{share} %", str(len(results[kind, share])), *measured])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def draw(results: Results, path: Path) -> None:
    """Plot IoU of labels and AP of detectors over the share of masks, with spreads."""
    first = "val" if any("val" in run for runs in results.values() for run in runs) else "others"
    panels = [(first, LABELS), ("ap", DETECTORS), ("ap75", DETECTORS)]
    panels = [each for each in panels if any(kind in each[1] for kind, _ in results)]
    if not panels:
        return
    figure = Figure(figsize=(5 * len(panels), 4), layout="constrained")
    for axes, (measure, kinds) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True
    ):
        for kind in kinds:
            points = [
                (share, np.mean(found), deviation(found))
                for (other, share), runs in results.items()
                if other == kind and (found := _values(runs, measure))
            ]
            if points:
                label = KINDS[kind].removeprefix("labels: ")
                axes.errorbar(*np.array(points).T, marker="o", capsize=3, label=label)
        axes.set(xlabel="objects with a true mask (%)", ylabel=f"{TITLES[measure]} (%)")
        if axes.has_data():
            axes.legend(fontsize="small")
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=150)


def _values(runs: list[Json], name: str) -> list[float]:
    """Return a measure of each run in percent: a dict of the labels, a fraction of COCO's."""
    found = [run[name] for run in runs if run.get(name) is not None]
    return [each["iou"] if isinstance(each, dict) else 100 * each for each in found]


def _cell(runs: list[Json], name: str) -> str:
    values = _values(runs, name)
    if not values:
        return ""
    spread = f" ± {deviation(values):.1f}" if len(values) > 1 else ""
    good = [run[name]["good"] for run in runs if isinstance(run.get(name), dict)]
    return f"{np.mean(values):.1f}{spread}" + (f" ({np.mean(good):.0f} %)" if good else "")
