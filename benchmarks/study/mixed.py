"""Measure what some true masks beside many boxes are worth; resumes after interruptions.

    python benchmarks/study/mixed.py persons --data DIR --out DIR [--shares 0 10 100] [--seeds 0]
    python benchmarks/study/mixed.py coco_mini --data DIR --out DIR --rows mixed --shares 0 5 10 20

For each share of the training objects, chosen at random such that smaller shares are part of larger
ones:

    mixed     `tools/autolabel.py --fit` trains the shipped labeller on boxes and these masks, and
              labels the other objects and the validation images
    alone     the same from the objects with masks alone
    masks     (a) stock SOLOv2 from the objects with masks alone, for as many steps
    ours      (b) DiscoBox SOLOv2 from all boxes and these masks
    balanced  (b) with these masks sampled more often, which are more steps
    student   (c) stock SOLOv2 from the labels of `mixed`

The masks of all other objects are only compared with. Detectors are trained and tested by `mim`.
Finished runs are not repeated; several calls may share a folder. Each training takes one thread,
unless OMP_NUM_THREADS is set. Each run updates `OUT/mixed_DATA.md`, `.json` and `.png`: mean IoU of
labels with human masks, mask AP and AP75 of detectors.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from pathlib import Path

from mmengine.config import DictAction
from mmengine.logging import MMLogger

from mixed_report import write_report
from mixed_runs import DETECTORS, FILES, KINDS, tasks
from mmdet_discobox.utils.command_line import run
from study_runs import BUSY
from study_settings import Settings


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("table", choices=FILES, help="data set")
    add("--data", type=Path, required=True, help="folder of the photographs (DISCOBOX_DATA)")
    add("--out", type=Path, required=True, help="folder of the results")
    add("--rows", nargs="+", choices=KINDS, default=["mixed"], help="(default: mixed)")
    add("--shares", type=int, nargs="+", default=[0, 5, 10, 20, 50, 100], help="in percent")
    add("--seeds", type=int, nargs="+", default=[0, 1, 2], help="(default: 0 1 2)")
    add("--label-epochs", type=int, default=8, help="of each labeller (%(default)s)")
    add("--epochs", type=int, help="of each detector (default: the config's)")
    add("--cfg-options", nargs="+", action=DictAction, default={}, help="of detectors, KEY=VALUE")
    add("--report", action="store_true", help="write the table of the finished runs and stop")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run the study.

    Returns:
        1 if a run failed, else 0.

    Raises:
        FileNotFoundError: if the folder of photographs does not exist.
        ValueError: if the finished runs have other settings, or a row needs validation images.
    """
    args = parse_args(argv)
    root = args.data.resolve() / args.table
    if not root.is_dir():
        raise FileNotFoundError(
            f"Expected photographs in {root}, but there is no such folder. See "
            "benchmarks/README.md for its layout."
        )
    MMLogger.get_current_instance().setLevel("WARNING")  # configs log their variables
    out = args.out.resolve()
    settings = Settings(out, args.epochs, options=args.cfg_options, data=root.parent)
    todo = tasks(args.rows, args.table, args.shares, args.seeds, args.label_epochs, settings)
    if args.report:
        print(write_report(out, args.table))
        return 0
    os.environ["DISCOBOX_DATA"] = str(settings.data)  # read by the configs
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # several calls side by side: a core each
    settings.check(
        (root / name for name in FILES[args.table] if name),
        detectors=any(task.kind in DETECTORS for task in todo),
    )
    failed = 0
    for number, task in enumerate(todo, 1):
        name = f"[{number}/{len(todo)}] {task.kind}, {task.share} %, seed {task.seed}"
        if task.result is not None:
            print(f"{name}: done before", flush=True)
            continue
        print(f"{name}: log in {task.folder}", flush=True)
        start = time.time()
        failure = task.execute()
        failed += failure not in (None, BUSY)
        print(f"{name}: {failure or 'done'} after {(time.time() - start) / 60:.1f} min", flush=True)
        write_report(out, args.table)
    print(write_report(out, args.table))
    return int(failed > 0)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("Terminated; the same command resumes."))
    run(main)
