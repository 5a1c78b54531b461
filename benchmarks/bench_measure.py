"""Measure seconds and megabytes of training steps and predictions."""

from __future__ import annotations

import copy
import multiprocessing
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from torch import nn

from bench_batch import Workload, random_batch
from bench_models import FULL, STOCK, Trainee, Variant, model_config, read_config

REST = "rest: assignment, targets, losses"


def wait(device: str) -> None:
    """Wait for the accelerator."""
    if device != "cpu":
        torch.cuda.synchronize()


def step_seconds(
    config: Config, rows: list[Variant], work: Workload, *, device: str, repeats: int
) -> dict[str, list[float]]:
    """Return the seconds of training steps; variants alternate, which cancels drift."""
    trainees = {
        kind: Trainee(config, kind, device, classes=work.classes)
        for kind in dict.fromkeys(row.kind for row in rows)
    }
    seconds: dict[str, list[float]] = {row.name: [] for row in rows}
    for repeat in range(repeats + 1):
        for row in rows:
            trainee, batch = trainees[row.kind], random_batch(work, repeat)
            trainee.set_gates(row.gates)
            wait(device)
            start = time.perf_counter()
            trainee.step(batch)
            wait(device)
            if repeat:  # the first step warms up
                seconds[row.name].append(time.perf_counter() - start)
    return seconds


class PartClock:
    """Measure the seconds of the parts of a step, without those of inner parts.

    Args:
        device: device to wait for at the ends of each part.
    """

    def __init__(self, device: str) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._device = device
        self._running = [REST]
        self._mark = time.perf_counter()

    def _charge(self) -> None:
        wait(self._device)
        now = time.perf_counter()
        self.seconds[self._running[-1]] += now - self._mark
        self._mark = now

    def _enter(self, part: str) -> None:
        self._charge()
        self._running.append(part)

    def _leave(self) -> None:
        self._charge()
        self._running.pop()

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count the time inside the context for a part."""
        self._enter(name)
        try:
            yield
        finally:
            self._leave()

    @contextmanager
    def watching(self, parts: Mapping[str, Sequence[nn.Module]]) -> Iterator[None]:
        """Count the calls of modules for their parts, and other time for the rest.

        Args:
            parts: modules of each part.
        """
        handles = [
            handle
            for name, modules in parts.items()
            for module in modules
            for handle in (
                module.register_forward_pre_hook(lambda *_, name=name: self._enter(name)),
                module.register_forward_hook(lambda *_: self._leave()),
            )
        ]
        self.seconds.clear()
        self._mark = time.perf_counter()
        try:
            yield
        finally:
            self._charge()
            for handle in handles:
                handle.remove()


def step_parts(model: nn.Module) -> dict[str, list[nn.Module]]:
    """Return the modules of the parts of a step, for any detector.

    The parts are the modules of the detector by name, and the losses of its heads. The modules of
    the teacher network are one part.
    """
    parts = {name: [module, *module.children()] for name, module in model.named_children()}
    if "teacher" in parts:
        networks = model.teacher.module.children()
        parts["teacher"] = [part for network in networks for part in (network, *network.children())]
    for owner, module in model.named_children():
        for name, child in module.named_children():
            if name.startswith("loss"):
                parts[f"{owner}.{name}"] = [child]
    return parts


def part_seconds(
    config: Config, row: Variant, work: Workload, *, device: str, repeats: int
) -> list[dict[str, float]]:
    """Return the seconds of the parts of each training step."""
    trainee = Trainee(config, row.kind, device, classes=work.classes)
    trainee.set_gates(row.gates)
    parts, steps = step_parts(trainee.model), []
    for repeat in range(repeats + 1):
        batch, clock = random_batch(work, repeat), PartClock(device)
        with clock.watching(parts):
            _step(trainee, batch, clock)
        steps.append(dict(clock.seconds))
    return steps[1:]


def _step(trainee: Trainee, batch: dict[str, Any], clock: PartClock) -> None:
    """Make the step of ``Trainee.step`` in parts."""
    loss, _ = trainee.forward(batch)
    with clock.part("backward"):
        trainee.optim_wrapper.backward(loss)
    with clock.part("optimiser"):
        trainee.optimise()
    if trainee.teacher is not None:
        with clock.part("average"):
            trainee.average()


def predict_seconds(
    config: Config, work: Workload, *, device: str, repeats: int, detections: int
) -> dict[str, tuple[int, list[float]]]:
    """Return detections and seconds per prediction of one image: stock, DiscoBox, with refinement.

    All have the same weights, which are random but for the backbone, and a score threshold for
    about ``detections`` detections.
    """
    stock, full = (model_config(config, kind, classes=work.classes) for kind in (STOCK, FULL))
    refined = {**full, "prediction_refiner": dict(min_score=0.0)}
    torch.manual_seed(0)
    configs = {stock.type: stock, full.type: full, f"{full.type}, refined": refined}
    models = {name: MODELS.build(each).to(device).eval() for name, each in configs.items()}
    for model in models.values():
        model.load_state_dict(models[stock.type].state_dict(), strict=False)
    image = random_batch(Workload(work.size, 1, 1), seed=0)
    counts = {name: admit(model, image, detections) for name, model in models.items()}
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(repeats):
        for name, model in models.items():
            wait(device)
            start = time.perf_counter()
            predict(model, image)
            wait(device)
            seconds[name].append(time.perf_counter() - start)
    return {name: (counts[name], seconds[name]) for name in models}


def predict(model: nn.Module, image: dict[str, Any]) -> InstanceData:
    """Detect objects in the first image of a batch; the batch is not changed."""
    with torch.no_grad():
        return model.test_step(copy.deepcopy(image))[0].pred_instances


def admit(model: nn.Module, image: dict[str, Any], detections: int) -> int:
    """Set the score threshold by bisection; return the number of detections."""
    low, high = 0.0, 1.0
    for _ in range(14):
        threshold = (low + high) / 2
        too_many = _count_above(threshold, model, image) > detections
        low, high = (threshold, high) if too_many else (low, threshold)
    return _count_above(high, model, image)


def _count_above(threshold: float, model: nn.Module, image: dict[str, Any]) -> int:
    for part in (getattr(model, name, None) for name in ("mask_head", "bbox_head")):
        if getattr(part, "test_cfg", None) is not None:
            part.test_cfg.update(score_thr=threshold)
    return len(predict(model, image))


def peak_megabytes(
    path: Path, rows: list[Variant], work: Workload, *, device: str
) -> dict[str, float]:
    """Return the peak memory of a detector and two steps, each in a new process.

    On the CPU it is the growth of the resident memory (Linux only, NaN elsewhere), including that
    of libraries; on an accelerator the memory allocated by torch.
    """
    jobs = [(path, row, work, device, torch.get_num_threads()) for row in rows]
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        return dict(zip([r.name for r in rows], pool.map(_peak, jobs, chunksize=1), strict=True))


def _peak(job: tuple[Path, Variant, Workload, str, int]) -> float:
    path, row, work, device, threads = job
    torch.set_num_threads(threads)
    init_default_scope("mmdet")
    config, batches = read_config(path), [random_batch(work, seed) for seed in range(2)]
    before = _resident("VmRSS")
    trainee = Trainee(config, row.kind, device, classes=work.classes)
    trainee.set_gates(row.gates)
    for batch in batches:
        trainee.step(batch)
    if device != "cpu":
        return torch.cuda.max_memory_allocated() / 1e6
    return _resident("VmHWM") - before


def _resident(entry: str) -> float:
    """Return the resident memory of this process in MB: now (``VmRSS``) or peak (``VmHWM``)."""
    status = Path("/proc/self/status")
    if not status.exists():
        return float("nan")
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return int(lines[entry].split()[0]) / 1e3
