"""Time the parts of dense correspondence, and the memory they take, as the grid grows.

    python benchmarks/bench_correspondence.py [--device cuda] [--repeats N]

Beside the votes stands the size of the tensor that their definition asks for, one number for each
two matches: the votes are summed over offsets instead, and it is never made. Transport alone and
iterated conditional modes are those of `CorrespondenceSolver` with its defaults.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mmdet_discobox.functional import (
    cosine_similarity,
    geometric_votes,
    marginal_residual,
    step_mass,
)
from mmdet_discobox.models.teachers import CorrespondenceSolver
from mmdet_discobox.structures import Correspondences


def objects(pairs: int, size: int, device: str) -> tuple[Tensor, ...]:
    """Features of smooth random objects and of their noisy copies, and masks of both."""
    source = F.interpolate(torch.randn(pairs, 32, 5, 5, device=device), size=size, mode="bicubic")
    masks = (torch.rand(pairs, size, size, device=device) for _ in range(2))
    return source, source + 0.5 * torch.randn_like(source), *masks


def measure(work: Callable[[], Any], device: str, repeats: int) -> tuple[float, Any]:
    """Least seconds after a first call (a busy machine only adds), and the last result."""
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        result = work()
        if device != "cpu":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:]), result


def peak_memory(device: str) -> float:
    """MB at the most so far: of the process, or of the accelerator."""
    if device == "cpu":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    return torch.cuda.max_memory_allocated() / 1e6


def bench_votes(sizes: list[int], device: str, repeats: int) -> None:
    """One pair at a time, each size in a process of its own: a peak is never undone."""
    print(f"{'votes, one pair':16s} {'ms':>9s} {'plan':>10s} {'peak grew by':>13s} {'naive':>13s}")
    for size in sizes:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            seconds, grown = pool.apply(_votes, (size, device, repeats))
        print(
            f"{size:3d} x {size:<10d} {1e3 * seconds:9.2f} {4e-6 * size**4:7.2f} MB "
            f"{grown:10.1f} MB {4e-9 * size**8:10.4g} GB"
        )


def _votes(size: int, device: str, repeats: int) -> tuple[float, float]:
    """Least seconds, and megabytes that the peak of this process grew by."""
    geometric_votes(torch.ones(1, 1, 1, device=device), size=1, gamma=1.0)  # loads what it loads
    plan = torch.rand(1, size**2, size**2, device=device) / size**4
    before = peak_memory(device)
    votes = partial(geometric_votes, plan, size=size, gamma=(0.2 * size) ** 2)
    seconds, _ = measure(votes, device, repeats)
    return seconds, peak_memory(device) - before


def solve(
    solver: CorrespondenceSolver, source: Tensor, target: Tensor, *masks: Tensor
) -> Correspondences:
    """Match objects from their features."""
    return solver(cosine_similarity(source, target), *masks)


def bench_solvers(sizes: list[int], device: str, repeats: int) -> None:
    """Seconds of 100 pairs and the largest residual."""
    print(f"{'100 pairs':16s} {'transport':>11s} {'residual':>9s} {'modes':>11s} {'residual':>9s}")
    for size in sizes:
        pairs = max(1, min(100, 100_000_000 // (16 * size**4)))
        given, line = objects(pairs, size, device), f"{size:3d} x {size:<10d}"
        for solver in (CorrespondenceSolver(iterations=1), CorrespondenceSolver()):
            seconds, found = measure(partial(solve, solver, *given), device, repeats)
            masses = (step_mass(masks.flatten(1), low=solver.background) for masks in given[2:])
            residual = float(marginal_residual(found.plan, *masses).max())
            line += f" {100 / pairs * seconds:9.3f} s {residual:9.1e}"
        print(line)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vote-sizes", type=int, nargs="+", default=[7, 14, 20, 28, 32])
    parser.add_argument("--solver-sizes", type=int, nargs="+", default=[7, 14, 28])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    torch.manual_seed(0)
    print(f"{args.device}, {torch.get_num_threads()} thread(s), float32")
    bench_votes(args.vote_sizes, args.device, args.repeats)
    bench_solvers(args.solver_sizes, args.device, args.repeats)


if __name__ == "__main__":
    main()
