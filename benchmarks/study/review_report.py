"""Table and plot of the simulated loop label - review - train again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from mixed_shares import deviation
from mmdet_discobox.utils.files import write_json, write_text
from mmdet_discobox.utils.types import Json
from study_files import read_complete_json

TITLES = dict(
    looks="looks",
    accepted="with an accepted mask (%)",
    others="IoU of the others",
    all="IoU of all",
    val="IoU, validation",
)
#: order, whether others are corrected, looks in a round, epochs -> rounds of each seed
Loops = dict[tuple[str, bool, int, str], list[list[Json]]]


def write_report(out: Path) -> str:
    """Write table, numbers and plot of the rounds so far; return the table."""
    found, loops = list[Json](), Loops()
    for path in sorted(out.glob("*/seed*/rounds.json")):
        if loop := read_complete_json(path):
            epochs = path.parts[-3].rpartition("_")[2]  # a part of the folder's name alone
            key = loop["order"], loop["correct"], loop["looks"], epochs
            loops.setdefault(key, []).append(loop["rounds"])
            found.append(loop)
    text = _table(loops) + "\n\nPercent: mean over the seeds ± standard deviation.\n"
    write_json(out / "review_loop.json", found, indent=1)
    write_text(out / "review_loop.md", text)
    _draw(loops, out / "review_loop.png")
    return text


def _titles(loops: Loops) -> list[str]:
    """Return a title of each loop; with the epochs if loops differ in them."""
    several = len({epochs for *_, epochs in loops}) > 1
    return [
        order + ", others corrected" * correct + f", {epochs} epochs" * several
        for order, correct, _, epochs in loops
    ]


def _table(loops: Loops) -> str:
    used = {name for runs in loops.values() for rounds in runs for name in rounds[0]}
    names = [name for name in TITLES if name in used]
    lines = [["order", "seeds", "rounds", *(TITLES[name] for name in names)]]
    lines.append(["---"] * len(lines[0]))
    for title, runs in zip(_titles(loops), loops.values(), strict=True):
        for number in range(max(map(len, runs))):
            reached = [rounds[number] for rounds in runs if number < len(rounds)]
            cells = [_cell([each[name] for each in reached], name) for name in names]
            lines.append([title, str(len(reached)), str(number), *cells])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(values: list[float | None], name: str) -> str:
    known = [value for value in values if value is not None]
    if name == "looks" or not known:
        return str(values[0]) if known else "-"
    spread = f" ± {deviation(known):.1f}" if len(known) > 1 else ""
    return f"{np.mean(known):.1f}{spread}"


def _draw(loops: Loops, path: Path) -> None:
    """Plot the measures over the looks, with spreads."""
    panels = [name for name in TITLES if name != "looks"]
    figure = Figure(figsize=(4 * len(panels), 3.5), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(panels)), panels, strict=True):
        for title, runs in zip(_titles(loops), loops.values(), strict=True):
            points = []
            for number in range(max(map(len, runs))):
                reached = [rounds[number] for rounds in runs if number < len(rounds)]
                values = [each[name] for each in reached if each.get(name) is not None]
                if values:
                    points.append((reached[0]["looks"], np.mean(values), deviation(values)))
            if points:
                axes.errorbar(*np.array(points).T, marker="o", capsize=3, label=title)
        axes.set(xlabel="looks", ylabel=TITLES[name])
        axes.grid(alpha=0.3)
        if axes.has_data():
            axes.legend(fontsize="small")
    figure.savefig(path, dpi=150)
