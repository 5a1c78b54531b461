"""A distributed step of two processes, of which one has no object."""

from __future__ import annotations

import json
import math
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing
from mmengine.model import MMDistributedDataParallel, revert_sync_batchnorm

from bench_models import FULL
from bench_ranks import join_ranks
from gpu_checks.hooks import after_step, hooked_runner
from gpu_checks.records import CheckFailure, Figures, Settings
from gpu_checks.subjects import batch, build, prepare_process, read, release, workload

_RANKS = 2
#: timeout of a rank for the other one
_SECONDS = 90


def distributed_step(settings: Settings, path: Path) -> Figures:
    """Train two ranks for a step, the second one without an object.

    On two GPUs they are joined by NCCL; on one GPU, which NCCL does not share, and on the CPU by
    gloo.

    Args:
        settings: of all checks.
        path: of the config.

    Raises:
        CheckFailure: if the ranks disagree, or a gradient is missing or not finite.
    """
    release(settings)
    backend = _backend(settings)
    with tempfile.TemporaryDirectory() as folder:
        job = (settings, path, backend, Path(folder))
        torch.multiprocessing.spawn(_train, job, nprocs=_RANKS)
        full, empty = (
            json.loads(Path(folder, f"{rank}.json").read_text()) for rank in range(_RANKS)
        )
    figures = dict(backend=backend, full=_summary(full), empty=_summary(empty))
    wrong = disagreements(full, empty)
    if wrong:
        raise CheckFailure("; ".join(wrong), figures)
    return figures


def _backend(settings: Settings) -> str:
    return "nccl" if settings.on_gpu and torch.cuda.device_count() >= _RANKS else "gloo"


def _train(rank: int, settings: Settings, path: Path, backend: str, folder: Path) -> None:
    """Make the step of one rank, and write its losses and gradients."""
    prepare_process(settings)
    device = settings.device
    if settings.on_gpu:
        device = f"cuda:{rank if backend == 'nccl' else 0}"
        torch.cuda.set_device(device)
    join_ranks(rank, _RANKS, folder, backend=backend, seconds=_SECONDS)
    found = _step(rank, settings, path, device)
    (folder / f"{rank}.json").write_text(json.dumps(found))
    dist.destroy_process_group()


def _step(rank: int, settings: Settings, path: Path, device: str) -> dict[str, Any]:
    config = read(path)
    subject = build(config, FULL, device, settings)
    if not settings.on_gpu:  # torch has no synchronised normalisation on a CPU
        revert_sync_batchnorm(subject.model)
    work = workload(config, settings)
    data = batch(work if rank == 0 else replace(work, objects=0))
    wrapped = MMDistributedDataParallel(module=subject.model)
    prepared = subject.model.data_preprocessor(data, True)
    total, log = subject.model.parse_losses(wrapped(**prepared, mode="loss"))
    total.backward()
    after_step(hooked_runner(wrapped), log)
    trained = [(n, p) for n, p in subject.model.named_parameters() if p.requires_grad]
    return dict(
        losses={key: value.item() for key, value in log.items()},
        missing=[name for name, p in trained if p.grad is None],
        gradients={n: p.grad.double().sum().item() for n, p in trained if p.grad is not None},
        running_mil=float(subject.structured_teacher.running_mil),
    )


def _summary(found: dict[str, Any]) -> Figures:
    return dict(losses=found["losses"], running_mil=found["running_mil"])


def disagreements(full: dict[str, Any], empty: dict[str, Any]) -> list[str]:
    """List the faults in the step of two ranks.

    Args:
        full: the rank with objects.
        empty: the rank without.
    """
    wrong = []
    if full["losses"].keys() != empty["losses"].keys():
        differing = sorted(full["losses"].keys() ^ empty["losses"].keys())
        wrong.append(f"Expected equal losses on both ranks but one alone has {differing}")
    for found, name in ((full, "with"), (empty, "without")):
        if found["missing"]:
            wrong.append(
                f"Expected all gradients {name} objects but got none of {found['missing']}"
            )
    names = [n for n, value in full["gradients"].items() if value != empty["gradients"].get(n)]
    if names:
        wrong.append(f"Expected equal gradients but got others, first of {names[0]!r}")
    if not all(math.isfinite(value) for value in full["gradients"].values()):
        wrong.append("Expected finite gradients but got others")
    if full["running_mil"] != empty["running_mil"]:
        wrong.append("Expected one running MIL loss but got two")
    return wrong
