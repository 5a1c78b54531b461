"""Run by two processes: one step of training in which the second rank has no object at all."""

from __future__ import annotations

import json
import logging
import sys
from types import SimpleNamespace

import torch
import torch.distributed as dist
from mmengine.model import MMDistributedDataParallel
from mmengine.registry import init_default_scope
from tiny import batch, build, tiny_solov2, tiny_yolact

import mmdet_discobox  # noqa: F401
from mmdet_discobox.engine.hooks import StructuredTeacherHook


def step(model: torch.nn.Module, rank: int) -> dict:
    """Train on nothing at all, or on five objects, and tell what came of it."""
    model = MMDistributedDataParallel(module=model)
    runner = SimpleNamespace(model=model, iter=0, max_iters=10, logger=logging.getLogger())
    hook = StructuredTeacherHook(consistency=dict(mil_below=0.5), interval=1)
    hook.before_train(runner)
    gate = model.module.structured_teacher.consistency_gate
    gate.set(True)
    data = batch((3, 2) if rank == 0 else (0, 0))
    losses = model(**model.module.data_preprocessor(data, True), mode="loss")
    sum(losses[key] for key in losses if "loss" in key).backward()
    gate.set(False)
    hook.after_train_iter(runner, 0, outputs=losses)
    return dict(
        keys=sorted(losses),
        mil=losses["loss_mil"].item(),
        running=float(model.module.structured_teacher.running_mil),
        is_open=gate.is_open,
        gradients=[p.grad.double().sum().item() for p in model.parameters() if p.requires_grad],
    )


def main() -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    init_default_scope("mmdet")
    rank = dist.get_rank()
    results = {tiny.__name__: step(build(tiny()), rank) for tiny in (tiny_solov2, tiny_yolact)}
    with open(f"{sys.argv[1]}/{rank}.json", "w") as file:
        json.dump(results, file)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
