"""The outcomes of all checks, as a table and as json."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from gpu_checks.records import FAILED, NOT_RUN, PASSED, SKIPPED, Outcome
from mmdet_discobox.utils.files import write_text

_COLOURS = {PASSED: "green", FAILED: "red", SKIPPED: "yellow", NOT_RUN: "red"}
#: figures that only the json has, too long for a cell
_LONG = ("losses", "places", "full", "empty")


def compare_with_stock(outcomes: Sequence[Outcome]) -> None:
    """Add to the figures of each step the ratios to those of its stock twin.

    Args:
        outcomes: of all checks.
    """
    steps = [each for each in outcomes if "precision" in each.options]
    stock = {(each.config, each.options["precision"]): each for each in steps if not each.ours}
    for each in filter(lambda step: step.ours, steps):
        twin = stock.get((each.twin, each.options["precision"]))
        for key in ("seconds", "megabytes"):
            if twin is not None and key in each.figures and key in twin.figures:
                each.figures[f"{key}_by_stock"] = each.figures[key] / twin.figures[key]


def line(outcome: Outcome) -> str:
    """Return a line of a finished check."""
    names = " ".join(filter(None, (outcome.name, outcome.config, _case(outcome))))
    return f"{names}: {_status(outcome)} ({outcome.seconds:.1f} s)"


def table(outcomes: Sequence[Outcome]) -> Table:
    """Return a table with a row for each check."""
    rows = Table(title="Checks", title_justify="left", show_lines=True)
    for name in ("check", "config", "of", "status"):
        rows.add_column(name, no_wrap=True)
    rows.add_column("found", overflow="fold")
    for each in outcomes:
        rows.add_row(each.name, each.config, _case(each), _status(each), _cell(each))
    return rows


def _case(outcome: Outcome) -> str:
    return " ".join(map(str, outcome.options.values()))


def _status(outcome: Outcome) -> str:
    colour = _COLOURS[outcome.status] if outcome.ours else "yellow"
    return f"[{colour}]{outcome.status}[/]"


def _cell(outcome: Outcome) -> str:
    figures = [f"{k} {_number(v)}" for k, v in outcome.figures.items() if k not in _LONG]
    places = outcome.figures.get("places", [])
    lines = [f"{row['count']} x {row['where']} {row['function']}" for row in places]
    # errors of torch begin with a place in brackets, which would pass for a style
    return escape("\n".join(filter(None, [outcome.reason, ", ".join(figures), *lines])))


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def write(path: Path, run: dict[str, Any], outcomes: Sequence[Outcome]) -> None:
    """Write the outcomes until now, atomically: a kill leaves those of the checks before.

    Numbers that are not finite are written as strings, because JSON has none.

    Args:
        path: of the json.
        run: settings of the run.
        outcomes: of the checks until now.
    """
    content = dict(run=run, checks=[asdict(each) for each in outcomes])
    write_text(path, json.dumps(_finite(content), indent=1, default=str))


def _finite(value: Any) -> Any:
    """Return a value of a json with strings for numbers that are not finite."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, list | tuple) else value
