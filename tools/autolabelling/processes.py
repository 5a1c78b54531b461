"""Processes and device of ``autolabel.py``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta

import torch
from mmengine.dist import init_dist

#: seconds that processes wait for the slowest one
TIMEOUT = 24 * 3600
LAUNCHERS = ("none", "pytorch", "slurm", "mpi")
#: variables with the number of processes that a launcher started. `SLURM_NTASKS` is no such one:
#: it is set in a batch script, too, which is a single process
_COUNTS = (
    ("WORLD_SIZE", "pytorch"),
    ("SLURM_STEP_NUM_TASKS", "slurm"),
    ("OMPI_COMM_WORLD_SIZE", "mpi"),
    ("PMI_SIZE", "mpi"),
)


def find_launcher(chosen: str | None, environment: Mapping[str, str] = os.environ) -> str:
    """Return the launcher of this process, that of torchrun without being asked for.

    Args:
        chosen: one of :data:`LAUNCHERS`; None if the user gave none.
        environment: variables of the environment.

    Raises:
        ValueError: if a launcher started several processes that would not know of each other.
    """
    if chosen is not None:
        return chosen
    for name, launcher in _COUNTS:
        count = environment.get(name, "1")
        if not count.isdecimal() or int(count) < 2:
            continue
        if launcher == "pytorch" and {"RANK", "LOCAL_RANK", "MASTER_ADDR"} <= environment.keys():
            return launcher
        raise ValueError(
            f"Expected --launcher {launcher}, because {name}={count}: {count} processes run this "
            "command, each of which would label all boxes. If this is the only one, pass "
            "--launcher none."
        )
    return "none"


def init_processes(launcher: str, device: str | None) -> str:
    """Initialise the process group and return the device.

    Args:
        launcher: one of :data:`LAUNCHERS`.
        device: chosen by the user; None takes the GPU of the process if there is one.

    Raises:
        ValueError: if the launcher needs a GPU and there is none.
    """
    cuda = torch.cuda.is_available() and not str(device).startswith("cpu")
    if launcher != "none" and cuda:
        init_dist(launcher, timeout=TIMEOUT)
    elif launcher == "pytorch":  # mmengine's launchers require a GPU
        torch.distributed.init_process_group("gloo", timeout=timedelta(seconds=TIMEOUT))
    elif launcher != "none":
        raise ValueError(
            f"Expected a GPU for --launcher {launcher} but got none. Without one, start the "
            "processes with torchrun."
        )
    if device:
        return device
    return f"cuda:{torch.cuda.current_device()}" if cuda else "cpu"
