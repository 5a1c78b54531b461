"""Distributed training on one machine: what a second process is worth."""

from __future__ import annotations

import json
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing
from mmengine.model import MMDistributedDataParallel
from mmengine.registry import init_default_scope

from bench_batch import Workload, random_batch
from bench_models import Trainee, Variant, read_config

RANKS = 2


def rank_seconds(path: Path, row: Variant, work: Workload, ranks: int, repeats: int) -> list[float]:
    """Seconds of distributed steps on the CPU, of which each rank has its own batch and thread.

    Args:
        path: of a DiscoBox config.
        row: the detector and its phase.
        work: of each rank.
        ranks: number of processes, joined by gloo.
        repeats: steps after a first.
    """
    with tempfile.TemporaryDirectory() as folder:
        job = (path, row, work, ranks, repeats, Path(folder))
        torch.multiprocessing.spawn(_train, job, nprocs=ranks)
        return list(json.loads((Path(folder) / "seconds.json").read_text()))


def join_ranks(
    rank: int, ranks: int, folder: Path, *, backend: str = "gloo", seconds: float = 600
) -> None:
    """Join the processes of a distributed training on one machine.

    Args:
        rank: of this process.
        ranks: number of processes.
        folder: where they meet, empty before.
        backend: of ``torch.distributed``.
        seconds: that a process waits for the others.
    """
    init_default_scope("mmdet")
    dist.init_process_group(
        backend,
        init_method=f"file://{folder}/meeting",
        rank=rank,
        world_size=ranks,
        timeout=timedelta(seconds=seconds),
    )


def _train(
    rank: int, path: Path, row: Variant, work: Workload, ranks: int, repeats: int, folder: Path
) -> None:
    torch.set_num_threads(1)
    join_ranks(rank, ranks, folder)
    trainee = Trainee(read_config(path), row.kind, "cpu", classes=work.classes)
    trainee.set_gates(row.gates)
    seconds: list[float] = []
    wrapped = MMDistributedDataParallel(module=trainee.model)
    for repeat in range(repeats + 1):
        batch = random_batch(work, repeat * ranks + rank)
        dist.barrier()
        start = time.perf_counter()
        wrapped.train_step(batch, trainee.optim_wrapper)
        trainee.average()
        dist.barrier()
        seconds.append(time.perf_counter() - start)
    if rank == 0:
        (folder / "seconds.json").write_text(json.dumps(seconds[1:]))
    dist.destroy_process_group()
