"""Lines at which a training step synchronises with the device, compared with the allowed ones.

``torch.cuda.set_sync_debug_mode("warn")`` warns of every synchronising operation. Each warning is
traced to its line, of this package or of mmdet, mmcv or mmengine.
"""

from __future__ import annotations

import traceback
import warnings
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from bench_measure import wait
from bench_models import FULL
from gpu_checks.hooks import after_step, hooked_runner
from gpu_checks.records import CheckFailure, Figures, Settings, Skip
from gpu_checks.subjects import batch, trainee, workload

#: functions of this package that may synchronise, and how often in a step; those of SOLOv2,
#: YOLACT and RTMDet-Ins are the same as in tests/engine/test_host_synchronisation.py
ALLOWED: dict[str, dict[str, int]] = dict(
    DiscoBoxSOLOv2=dict(assign_cells=1),
    DiscoBoxYOLACT=dict(assign_anchors=2, mean_coefficients=2),
    DiscoBoxCondInst=dict(to_instances=2),
    DiscoBoxRTMDetIns=dict(assign=1, assign_priors=1),
)
OURS = "mmdet_discobox"
_MESSAGE = "synchronizing CUDA operation"
#: folders of the packages that own lines
PACKAGES = {
    name: Path(import_module(name).__file__).parent for name in (OURS, "mmdet", "mmcv", "mmengine")
}


@dataclass(frozen=True)
class Place:
    """A line that synchronises with the device.

    Attributes:
        owner: package of the line: ``'mmdet_discobox'``, ``'mmdet'``, ``'mmcv'``, ``'mmengine'``,
            or ``'torch'`` where no line of these is on the stack, as in a backward pass.
        where: file and line.
        function: that holds the line.
        caller: innermost function of this package on the stack, or nothing.
    """

    owner: str
    where: str
    function: str
    caller: str


def synchronisations(settings: Settings, path: Path) -> Figures:
    """Make a step and compare its synchronisations with the allowed ones.

    Args:
        settings: of all checks.
        path: of the config.

    Raises:
        CheckFailure: if this package or a backward pass has others, or more.
        Skip: without a GPU.
    """
    if not settings.on_gpu:
        raise Skip("torch reports synchronisations on CUDA alone; a test counts them on the CPU")
    subject = trainee(settings, path, FULL)
    subject.set_wrapper("OptimWrapper")
    data = batch(workload(subject.config, settings))
    for _ in range(2):  # the first steps move tensors that stay on the device
        subject.step(data)
    places = places_of_a_step(subject.model, data)
    figures = dict(places=tabulate(places))
    wrong = surplus(places, ALLOWED.get(type(subject.model).__name__, {}))
    if wrong:
        raise CheckFailure(f"Expected no synchronisation but got {'; '.join(wrong)}.", figures)
    return figures


def places_of_a_step(model: Any, data: dict[str, Any]) -> list[Place]:
    """Return the synchronisations of a step, from the losses to the hooks.

    Args:
        model: the detector, which has trained before.
        data: a batch as a loader gives it.
    """
    runner = hooked_runner(model)
    prepared = model.data_preprocessor(data, True)
    wait(prepared["inputs"].device.type)
    with SynchronisationRecorder() as recorder:
        total, log = model.parse_losses(model(**prepared, mode="loss"))
        total.backward()
        after_step(runner, log)
    model.zero_grad()
    return recorder.places


class SynchronisationRecorder:
    """Context manager that records the line of every synchronisation."""

    def __init__(self) -> None:
        self.places: list[Place] = []
        self._filters = warnings.catch_warnings()

    def __enter__(self) -> SynchronisationRecorder:
        self._filters.__enter__()
        warnings.simplefilter("always")
        warnings.showwarning = self._record
        if torch.cuda.is_available():
            torch.cuda.set_sync_debug_mode("warn")
        return self

    def __exit__(self, *exc_info: object) -> None:
        if torch.cuda.is_available():
            torch.cuda.set_sync_debug_mode("default")
        self._filters.__exit__(*exc_info)

    def _record(self, message: Any, *_: Any, **__: Any) -> None:
        if _MESSAGE in str(message):
            self.places.append(_place(traceback.extract_stack()))


def _place(stack: Iterable[traceback.FrameSummary]) -> Place:
    """Find the innermost line of a known package, and the innermost one of ours."""
    frames = [(frame, _owner(frame.filename)) for frame in stack][::-1]
    ours = next((frame for frame, owner in frames if owner == OURS), None)
    caller = "" if ours is None else ours.name
    for frame, owner in frames:
        if owner is not None:
            file = Path(frame.filename).relative_to(PACKAGES[owner].parent)
            where = f"{file}:{frame.lineno}"
            return Place(owner, where, frame.name, caller)
    return Place("torch", "", "", caller)


def _owner(filename: str) -> str | None:
    path = Path(filename)
    return next((name for name, folder in PACKAGES.items() if path.is_relative_to(folder)), None)


def tabulate(places: Iterable[Place]) -> list[dict[str, Any]]:
    """Return a row for each place, ours first, with its ``count``."""
    counts = Counter(places)
    rows = [dict(asdict(place), count=count) for place, count in counts.items()]
    return sorted(rows, key=lambda row: (row["owner"] != OURS, row["owner"], row["where"]))


def surplus(places: Iterable[Place], allowed: dict[str, int]) -> list[str]:
    """List functions of this package, and backward passes, that synchronise too often.

    Args:
        places: synchronisations of a step.
        allowed: functions that may synchronise, and how often.
    """
    judged = [place for place in places if place.owner in (OURS, "torch")]
    counts = Counter(place.function or "a backward pass" for place in judged)
    lines = {place.function or "a backward pass": place.where for place in judged}
    return [
        f"{count} in {name} ({lines[name]}), allowed {allowed.get(name, 0)}"
        for name, count in counts.items()
        if count > allowed.get(name, 0)
    ]
