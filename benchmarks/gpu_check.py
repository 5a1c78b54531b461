"""Check training steps, resume, distribution and predictions on a GPU, in at most 8 minutes.

    python benchmarks/gpu_check.py --out gpu_check.json

Checks: `machine` (versions, operators of mmcv), `steps` (training steps of every R50 config and of
rtmdet-ins_s in fp32, fp16 and bf16: finite losses and gradients, seconds and memory beside the
mask-supervised stock detector), `synchronisation` (lines at which a step synchronises with the
device), `predictions` (detections and refined masks, CPU against device), `resume` (losses after a
resume), `ranks` (a distributed step, one rank without objects). Images are random, of the size that
the config's pipeline gives, 2 of 50 objects each. Weights are random; nothing is downloaded.

Each check runs in a process that is replaced if the check fails. The exit code is 1 if a check
fails. With `--device cpu`, checks that need a GPU are skipped.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import torch
from rich.console import Console

from bench_models import FULL, STOCK, model_config
from gpu_checks.machine import machine
from gpu_checks.predictions import predictions
from gpu_checks.ranks import distributed_step
from gpu_checks.records import NOT_RUN, Check, Outcome, Settings, outcome_of
from gpu_checks.report import compare_with_stock, line, table, write
from gpu_checks.resume import resumed_training
from gpu_checks.steps import WRAPPERS, training_steps
from gpu_checks.subjects import checked_configs, read, representatives
from gpu_checks.synchronisation import synchronisations
from gpu_checks.worker import Worker
from mmdet_discobox.utils.command_line import prepare_result

QUICK = dict(size=(128, 128), objects=3, repeats=1)
#: checks of one config of each network
PER_NETWORK = dict(
    synchronisation=synchronisations,
    predictions=predictions,
    resume=resumed_training,
    ranks=distributed_step,
)
NAMES = ["machine", "steps", *PER_NETWORK]
#: seconds that a check may take
_LONGEST = 180


def checks(paths: Sequence[Path], args: argparse.Namespace) -> Iterator[Check]:
    """List the checks, those of one config of each network first.

    Args:
        paths: of the configs.
        args: the command line.
    """
    first = representatives(paths)
    rest = [] if args.quick else [path for path in paths if path not in first]
    if "machine" in args.only:
        yield Check("machine", machine)
    steps = partial(_steps, precisions=args.precisions, twins={}) if "steps" in args.only else _none
    for path in first:
        yield from steps(path)
    for name, function in PER_NETWORK.items():
        if name in args.only:
            yield from (Check(name, function, path) for path in first)
    for path in rest:
        yield from steps(path)


def _none(path: Path) -> Iterator[Check]:
    yield from ()


def _steps(path: Path, *, precisions: Sequence[str], twins: dict[str, Path]) -> Iterator[Check]:
    """Steps of a config, and of its stock twin unless another config has the same one."""
    network = str(model_config(read(path), STOCK, divisor=None))
    is_new = network not in twins
    twin = twins.setdefault(network, path)
    for kind in (FULL, STOCK) if is_new else (FULL,):
        for precision in precisions:
            options = dict(kind=kind, precision=precision)
            yield Check("steps", training_steps, path, options, kind == FULL, twin.stem)


def run_checks(
    wanted: Sequence[Check],
    settings: Settings,
    *,
    seconds: float,
    report: Callable[[list[Outcome]], None],
) -> list[Outcome]:
    """Run the checks until the time is up.

    Args:
        wanted: the checks.
        settings: of all.
        seconds: for all together.
        report: called after each check.
    """
    worker, outcomes, end = Worker(settings), list[Outcome](), time.monotonic() + seconds
    try:
        for check in wanted:
            left = end - time.monotonic()
            if left > 0:
                outcomes.append(worker.run(check, seconds=min(left, _LONGEST)))
            else:
                outcomes.append(outcome_of(check, NOT_RUN, reason="The time was up."))
            report(outcomes)
    finally:
        worker.stop()
    return outcomes


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Check the package on a GPU.")
    add = parser.add_argument
    add("--device", choices=("cuda", "cpu"), default="cuda")
    add("--only", nargs="+", choices=NAMES, default=NAMES, help="checks to run")
    add("--configs", type=Path, nargs="+", help="default: all of a ResNet-50, and rtmdet-ins_s")
    add("--precisions", nargs="+", choices=WRAPPERS, default=list(WRAPPERS), help="of the steps")
    add("--size", type=int, nargs=2, help="height and width (default: those of the pipelines)")
    add("--images", type=int, default=2, help="of a batch (%(default)s)")
    add("--objects", type=int, default=50, help="of an image (%(default)s)")
    add("--repeats", type=int, default=3, help="measured steps (%(default)s)")
    add("--minutes", type=float, default=8, help="checks left then are not run (%(default)s)")
    add("--quick", action="store_true", help="one config of each network, 3 objects, 128x128")
    add("--out", type=Path, help="write everything to this json")
    if parser.parse_args(argv).quick:
        parser.set_defaults(**QUICK)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run the checks and return 1 if one of them fails, else 0."""
    args = parse_args(argv)
    if args.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # mmengine's Runner takes a GPU if there is one
    size = None if args.size is None else tuple(args.size)
    threads = torch.get_num_threads()
    settings = Settings(args.device, size, args.images, args.objects, args.repeats, threads)
    wanted = list(checks(args.configs or checked_configs(), args))
    console = Console()
    if args.out is not None:
        prepare_result(args.out, "--out")

    def report(outcomes: list[Outcome]) -> None:
        console.print(line(outcomes[-1]), highlight=False)
        if args.out is not None:
            write(args.out, vars(settings), outcomes)

    outcomes = run_checks(wanted, settings, seconds=60 * args.minutes, report=report)
    compare_with_stock(outcomes)
    console.print(table(outcomes))
    if args.out is not None:
        write(args.out, vars(settings), outcomes)
    return int(any(outcome.is_fault for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
