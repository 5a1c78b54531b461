"""Training steps in a precision: finite losses and gradients, seconds, peak memory."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bench_measure import wait
from bench_models import STOCK, Trainee
from gpu_checks.records import CheckFailure, Figures, Settings, Skip
from gpu_checks.subjects import batch, trainee, workload

#: optimiser wrappers by precision
WRAPPERS = dict(fp32="OptimWrapper", fp16="AmpOptimWrapper", bf16="BFloat16OptimWrapper")
#: steps in which a GradScaler, which starts at 65536, has to find a scale
_SEARCH = 16
#: operators that a precision lacks: two parts of the error's message, and the reason to skip
_UNSUPPORTED = (
    ("modulated_deform", "BFloat16", "mmcv's deformable convolutions have no bfloat16"),
)
#: the same of stock detectors alone; ours compute these losses in float32
_UNSUPPORTED_STOCK = (
    ("sigmoid_focal_loss", "BFloat16", "mmcv's focal loss has no bfloat16 on a GPU"),
    (
        "binary_cross_entropy",
        "unsafe to autocast",
        "the mask loss of stock YOLACT refuses autocast",
    ),
)


def training_steps(settings: Settings, path: Path, *, kind: str, precision: str) -> Figures:
    """Train a detector for some steps, with a learning rate of 0.

    Args:
        settings: of all checks.
        path: of the config.
        kind: the detector itself, or its stock twin, see ``bench_models``.
        precision: ``'fp32'``, ``'fp16'`` or ``'bf16'``.

    Raises:
        CheckFailure: if a loss or a gradient is not finite.
        Skip: if the precision is not supported.
    """
    if precision == "fp16" and not settings.on_gpu:
        raise Skip("AmpOptimWrapper with a GradScaler needs CUDA")
    subject = trainee(settings, path, kind)
    subject.set_wrapper(WRAPPERS[precision])
    if settings.on_gpu:
        torch.cuda.reset_peak_memory_stats()
    data = batch(workload(subject.config, settings))
    with _unsupported(kind):
        figures = finite_step(subject, data)
        figures["seconds"] = _median_seconds(subject, data, settings)
    if settings.on_gpu:
        figures["megabytes"] = torch.cuda.max_memory_allocated() / 1e6
    return figures


@contextmanager
def _unsupported(kind: str) -> Iterator[None]:
    """Turn the errors of operators that a precision lacks into a reason to skip."""
    known = _UNSUPPORTED + (_UNSUPPORTED_STOCK if kind == STOCK else ())
    try:
        yield
    except (RuntimeError, NotImplementedError) as error:
        for part, other, reason in known:
            if part in str(error) and other in str(error):
                raise Skip(reason) from error
        raise


def finite_step(subject: Trainee, data: dict[str, Any]) -> Figures:
    """Step until the gradients are finite; only a GradScaler may take more than one step.

    Args:
        subject: the detector.
        data: a batch as a loader gives it.

    Returns:
        The losses; with a GradScaler its ``scale``, and the ``skipped_steps`` before it.

    Raises:
        CheckFailure: if a loss is not finite, or the gradients do not become finite.
    """
    scaler = getattr(subject.optim_wrapper, "loss_scaler", None)
    figures: Figures = {}
    for skipped in range(_SEARCH if scaler is not None else 1):
        total, log = subject.forward(data)
        figures["losses"] = {key: value.item() for key, value in log.items()}
        _check_losses(figures)
        subject.optim_wrapper.backward(total)
        names = not_finite(subject.model)
        if scaler is not None:
            figures.update(scale=scaler.get_scale(), skipped_steps=skipped)
        subject.optimise()
        subject.average()
        if not names:
            return figures
    raise CheckFailure(
        f"Expected finite gradients but those of {len(names)} parameters are not, first "
        f"{names[0]!r}.",
        figures,
    )


def _check_losses(figures: Figures) -> None:
    wrong = {key: value for key, value in figures["losses"].items() if not math.isfinite(value)}
    if wrong:
        raise CheckFailure(f"Expected finite losses but got {wrong}.", figures)


def not_finite(model: nn.Module) -> list[str]:
    """Return the names of parameters whose gradient has a value that is not finite."""
    named = [(name, p.grad) for name, p in model.named_parameters() if p.grad is not None]
    finite = torch.stack([gradient.isfinite().all() for _, gradient in named]).tolist()
    return [name for (name, _), each in zip(named, finite, strict=True) if not each]


def _median_seconds(subject: Trainee, data: dict[str, Any], settings: Settings) -> float:
    seconds = []
    for _ in range(settings.repeats + 1):
        wait(settings.device)
        start = time.perf_counter()
        subject.step(data)
        wait(settings.device)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])  # the first one warms up
