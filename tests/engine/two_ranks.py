"""Run by two processes: two steps of training in which the second rank has no object at all."""

from __future__ import annotations

import json
import logging
import sys
from types import SimpleNamespace

import torch
import torch.distributed as dist
from mmengine.model import MMDistributedDataParallel
from mmengine.registry import init_default_scope
from tiny import TASK_NETWORKS, batch, build

import mmdet_discobox  # noqa: F401
from mmdet_discobox.engine.hooks import StructuredTeacherHook, TeacherEMAHook


def step(model: torch.nn.Module, rank: int) -> dict:
    """Train on nothing at all, or on five objects, and tell what came of it."""
    model = MMDistributedDataParallel(module=model)
    structured = StructuredTeacherHook(consistency=dict(mil_below=1000.0), interval=2)
    averaging = TeacherEMAHook(start=dict(mil_below=0.5))
    runner = SimpleNamespace(
        model=model,
        iter=0,
        max_iters=10,
        logger=logging.getLogger(),
        hooks=[averaging, structured],
        optim_wrapper=SimpleNamespace(should_update=lambda: True),
        train_dataloader=SimpleNamespace(dataset=[]),
    )
    averaging.before_train(runner)
    structured.before_train(runner)
    teacher = model.module.structured_teacher
    gate = teacher.consistency_gate
    gate.set(True)
    data = batch((3, 2) if rank == 0 else (0, 0))
    losses = model(**model.module.data_preprocessor(data, True), mode="loss")
    sum(losses[key] for key in losses if "loss" in key).backward()
    gate.set(False)
    running = []
    for runner.iter in range(2):
        averaging.after_train_iter(runner, 0, outputs=losses)
        structured.after_train_iter(runner, 0, outputs=losses)
        running.append(float(teacher.running_mil))
    return dict(
        keys=sorted(losses),
        mil=losses["loss_mil"].item(),
        running=running,
        is_open=gate.is_open,
        started=model.module.teacher.started,
        gradients=[p.grad.double().sum().item() for p in model.parameters() if p.requires_grad],
    )


def main() -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    init_default_scope("mmdet")
    rank = dist.get_rank()
    results = {tiny.__name__: step(build(tiny()), rank) for tiny in TASK_NETWORKS.values()}
    with open(f"{sys.argv[1]}/{rank}.json", "w") as file:
        json.dump(results, file)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
