"""Phases of the demo: a progress bar of each command, whose output goes to a file."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

#: `Epoch(train)  [3][ 25/150]` and `Epoch(test) [ 50/100]` of mmengine's log
_STEP = re.compile(r"Epoch\(\w+\)\s+(?:\[(\d+)\])?\[\s*(\d+)/(\d+)\]")
#: warnings of this package
_WARNING = re.compile(
    r"mmdet_discobox/\S+ \w*Warning: .*|WARNING - .*(?:teacher_|checkpoint, maybe).*"
)
#: lines of a failed command that are shown
_TAIL = 30


def step_of(line: str, epochs: int) -> tuple[int, int] | None:
    """Return finished and all iterations that a line of mmengine's log reports, if it does."""
    if not (match := _STEP.search(line)):
        return None
    epoch, done, total = int(match[1] or 1), int(match[2]), int(match[3])
    return (epoch - 1) * total + done, total * (epochs if match[1] else 1)


def run_phase(
    title: str, command: Sequence[str], *, folder: Path, log: Path, epochs: int = 1
) -> str:
    """Run a command with a progress bar.

    Args:
        title: title of the bar.
        command: the command.
        folder: its working folder.
        log: file to which the command and all its output are appended.
        epochs: epochs of a training.

    Returns:
        The output.

    Raises:
        SystemExit: if the command fails; the end of its output is printed.
    """
    lines: list[str] = []
    columns = (SpinnerColumn(), TextColumn(f"{title:28}"), BarColumn(), TimeElapsedColumn())
    with log.open("a", encoding="utf-8") as file, Progress(*columns) as progress:
        file.write(f"\n$ {' '.join(command)}\n")
        bar = progress.add_task("", total=None)
        process = subprocess.Popen(
            command, cwd=folder, env={**os.environ, "PYTHONUNBUFFERED": "1"}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors="replace",
        )  # fmt: skip
        assert process.stdout is not None  # noqa: S101 - a pipe was asked for
        for line in process.stdout:
            file.write(line)
            file.flush()
            lines.append(line)
            if step := step_of(line, epochs):
                progress.update(bar, completed=step[0], total=step[1])
            elif warning := _WARNING.search(line):
                progress.console.print(warning[0], markup=False)
        if process.wait() == 0:
            progress.update(bar, completed=1, total=1)
    if process.returncode:
        print("".join(lines[-_TAIL:]), file=sys.stderr)
        sys.exit(f"error: `{' '.join(command)}` failed; its whole output is in {log}")
    return "".join(lines)
