"""Records of a check and of its outcome, and a function that runs a check without raising."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PASSED, FAILED, SKIPPED, NOT_RUN = "passed", "failed", "skipped", "not run"
Figures = dict[str, Any]


class Skip(Exception):  # noqa: N818 - not an error
    """A check that cannot run here; its text is the reason."""


class CheckFailure(Exception):  # noqa: N818 - an outcome of a check
    """A property that does not hold.

    Args:
        reason: the property, and the value in its place.
        figures: everything measured until then.
    """

    def __init__(self, reason: str, figures: Figures | None = None) -> None:
        super().__init__(reason)
        self.figures = figures or {}


@dataclass(frozen=True)
class Settings:
    """Sizes that all checks share.

    Attributes:
        device: ``'cuda'`` or ``'cpu'``.
        size: ``(height, width)`` of the images; None is the largest of the config's pipeline.
        images: of a batch.
        objects: of an image.
        repeats: measured steps.
        threads: of torch, in each process.
    """

    device: str
    size: tuple[int, int] | None
    images: int
    objects: int
    repeats: int
    threads: int

    @property
    def on_gpu(self) -> bool:
        """Whether the device is a GPU."""
        return self.device != "cpu"


@dataclass(frozen=True)
class Check:
    """One row of the table.

    Attributes:
        name: which check.
        function: returns the figures of ``(settings, path, **options)``, or raises.
        path: of the config; None for a check of the machine.
        options: further arguments of the function.
        ours: False for a stock detector of mmdet, whose failure is shown and not counted.
        twin: config from which the stock detector to compare with was made, or nothing.
    """

    name: str
    function: Callable[..., Figures]
    path: Path | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    ours: bool = True
    twin: str = ""


@dataclass
class Outcome:
    """Result of a check.

    Attributes:
        name: of the check.
        config: stem of the config's path, or nothing.
        options: of the check.
        ours: as of the check.
        twin: as of the check.
        status: ``'passed'``, ``'failed'``, ``'skipped'`` or ``'not run'``.
        seconds: that it took.
        reason: why it has not passed.
        figures: everything measured.
        traceback: of an unexpected error.
    """

    name: str
    config: str
    options: dict[str, Any]
    ours: bool
    twin: str
    status: str
    seconds: float = 0.0
    reason: str = ""
    figures: Figures = field(default_factory=dict)
    traceback: str = ""

    @property
    def is_fault(self) -> bool:
        """Whether the run as a whole has failed by it."""
        return self.ours and self.status in (FAILED, NOT_RUN)


def outcome_of(check: Check, status: str, **found: Any) -> Outcome:
    """Return the outcome of a check.

    Args:
        check: the check.
        status: of the outcome.
        **found: its other attributes.
    """
    config = "" if check.path is None else check.path.stem
    return Outcome(check.name, config, dict(check.options), check.ours, check.twin, status, **found)


def perform(check: Check, settings: Settings) -> Outcome:
    """Run a check, and turn its exceptions into outcomes."""
    start = time.perf_counter()
    status, found = _run(check, settings)
    return outcome_of(check, status, seconds=time.perf_counter() - start, **found)


def _run(check: Check, settings: Settings) -> tuple[str, dict[str, Any]]:
    try:
        return PASSED, dict(figures=check.function(settings, check.path, **check.options))
    except Skip as skip:
        return SKIPPED, dict(reason=str(skip))
    except CheckFailure as failure:
        return FAILED, dict(reason=str(failure), figures=failure.figures)
    except Exception as error:  # noqa: BLE001 - one failure must not end the others
        reason = f"{type(error).__name__}: {error}"
        return FAILED, dict(reason=reason, traceback=traceback.format_exc())
