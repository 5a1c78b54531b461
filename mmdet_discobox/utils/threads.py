"""A number of threads that leaves one core to other programs."""

from __future__ import annotations

import os

import torch


def leave_a_core() -> int:
    """Let torch compute with one thread fewer than there are cores, unless the user chose.

    OpenMP's threads wait for each other many times in a step: with as many threads as cores, a
    single other busy program stalls all of them. ``OMP_NUM_THREADS`` in the environment takes
    precedence.

    Returns:
        The number of threads.
    """
    if "OMP_NUM_THREADS" not in os.environ:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        torch.set_num_threads(min(torch.get_num_threads(), max(1, (cores or 1) - 1)))
    return torch.get_num_threads()
