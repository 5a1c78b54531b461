"""Time the parts of dense correspondence, and the memory they take, as the grid grows.

    python tools/bench_correspondence.py [--device cuda] [--repeats N]

Beside the votes stands the size of the tensor that their definition asks for, one number for each
two matches: the votes are summed over offsets instead, and it is never made. Transport and
iterated conditional modes are timed at the default numbers of iterations.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mmdet_discobox.functional.correspondence import (
    cosine_similarity,
    geometric_votes,
    iterated_conditional_modes,
)
from mmdet_discobox.functional.transport import sinkhorn, step_mass

EPS, ITERATIONS = 0.15, 50


def objects(pairs: int, size: int, device: str) -> tuple[Tensor, Tensor, Tensor]:
    """Cost volume and masses of smooth random objects and their noisy copies."""
    source = F.interpolate(torch.randn(pairs, 32, 5, 5, device=device), size=size, mode="bicubic")
    similarity = cosine_similarity(source, source + 0.5 * torch.randn_like(source))
    masses = [step_mass(torch.rand(pairs, size**2, device=device)) for _ in range(2)]
    return similarity, masses[0], masses[1]


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
    """One pair at a time, smallest grid first: the peak grows by what the row needs."""
    geometric_votes(torch.ones(1, 1, 1, device=device), size=1, gamma=1.0)  # loads what it loads
    print(f"{'votes, one pair':16s} {'ms':>9s} {'plan':>10s} {'peak grew by':>13s} {'naive':>13s}")
    for size in sorted(sizes):
        plan = torch.rand(1, size**2, size**2, device=device) / size**4
        before = peak_memory(device)
        gamma = (0.2 * size) ** 2
        seconds, _ = measure(
            lambda plan=plan, size=size, gamma=gamma: geometric_votes(plan, size=size, gamma=gamma),
            device,
            repeats,
        )
        grown = peak_memory(device) - before
        print(
            f"{size:3d} x {size:<10d} {1e3 * seconds:9.2f} {4e-6 * size**4:7.2f} MB "
            f"{grown:10.1f} MB {4e-9 * size**8:10.4g} GB"
        )


def bench_solvers(sizes: list[int], device: str, repeats: int) -> None:
    """Seconds of 100 pairs and the largest residual."""
    print(f"{'100 pairs':16s} {'transport':>11s} {'residual':>9s} {'modes':>11s} {'residual':>9s}")
    for size in sizes:
        pairs = max(1, min(100, 100_000_000 // (16 * size**4)))
        similarity, *masses = objects(pairs, size, device)
        plain, (_, first) = measure(
            lambda s=similarity, m=masses: sinkhorn(-s, *m, eps=EPS, iterations=ITERATIONS),
            device,
            repeats,
        )
        whole, found = measure(
            lambda s=similarity, m=masses, size=size: iterated_conditional_modes(
                s, *m, size=size, gamma=(0.2 * size) ** 2
            ),
            device,
            repeats,
        )
        print(
            f"{size:3d} x {size:<10d} {100 / pairs * plain:9.3f} s {float(first.max()):9.1e} "
            f"{100 / pairs * whole:9.3f} s {float(found.residual.max()):9.1e}"
        )


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
