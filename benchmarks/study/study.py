"""Run a study, and resume it after any interruption.

    python benchmarks/study/study.py TABLE --data DIR --out DIR [--rows NAME ...] [--seeds 0 1 2]

Tables: `persons` and `animals` (losses and teachers beside a mask-supervised bound and BoxInst),
`sensitivity` (loss weights and gates), `data-size`. Each row is trained and tested by `mim` once
per seed, in `OUT/DATA/ROW/seedK`; finished runs are not repeated. Each run updates the table
`OUT/TABLE.md`, `OUT/TABLE.json` and the plots. The table reports failed runs, which the next call
repeats. Several calls may share a folder.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
import time
from pathlib import Path

from mmengine.config import DictAction
from mmengine.logging import MMLogger

from mmdet_discobox.utils import command_line
from study_report import write_report
from study_runs import BUSY, Run
from study_settings import Settings
from study_tables import TABLES


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("table", choices=TABLES)
    add("--data", type=Path, required=True, help="folder of the photographs (DISCOBOX_DATA)")
    add("--out", type=Path, required=True, help="folder of the results")
    add("--rows", nargs="+", help="rows to run, in this order (default: all)")
    add("--seeds", type=int, nargs="+", default=[0, 1, 2], help="(default: 0 1 2)")
    add("--epochs", type=int, help="epochs of each training (default: the config's)")
    add("--batch", type=int, help="images per step, to which the learning rate is scaled")
    add("--bf16", action="store_true", help="train in bfloat16")
    add("--gpus", type=int, choices=(0, 1), default=0, help="(default: %(default)s)")
    add("--cfg-options", nargs="+", action=DictAction, default={}, help="for all runs, KEY=VALUE")
    add("--dry-run", action="store_true", help="print the commands and stop")
    add("--report", action="store_true", help="write the table of the finished runs and stop")
    return parser.parse_args(argv)


def show(runs: list[Run]) -> None:
    """Print the commands of each run."""
    for run in runs:
        print(f"# {run.row.title}, seed {run.seed}, {run.epochs} epochs: {run.state}")
        for words in run.commands().values():
            print(f"cd {run.folder} && {shlex.join(words)}")


def main(argv: list[str] | None = None) -> int:
    """Run the study.

    Returns:
        1 if a run failed, else 0.

    Raises:
        FileNotFoundError: if the folder of photographs does not exist.
        ValueError: if a row does not exist, or the finished runs have other settings.
    """
    args = parse_args(argv)
    if not args.data.is_dir():
        raise FileNotFoundError(
            f"Expected a folder of photographs but got {args.data}, which is none. Its layout is "
            "described in benchmarks/README.md."
        )
    MMLogger.get_current_instance().setLevel("WARNING")  # configs log their variables
    settings = Settings(
        out=args.out.resolve(),
        epochs=args.epochs,
        batch=args.batch,
        bf16=args.bf16,
        gpus=args.gpus,
        options=args.cfg_options,
        data=args.data.resolve(),
    )
    os.environ["DISCOBOX_DATA"] = str(settings.data)  # read by the configs
    table = TABLES[args.table]()
    # seed by seed: the first seed of all rows is a table already
    runs = [Run(row, seed, settings) for seed in args.seeds for row in table.select(args.rows)]
    if args.dry_run:
        show(runs)
        return 0
    if args.report:  # whatever the settings of the runs
        print(write_report(table, settings.out))
        return 0
    settings.check(path for run in runs for path in run.annotations)
    failed = 0
    for number, run in enumerate(runs, 1):
        name = f"[{number}/{len(runs)}] {run.row.name}, seed {run.seed}"
        if run.state == "done":
            print(f"{name}: done before", flush=True)
            continue
        print(f"{name}: {run.state}, log in {run.folder}", flush=True)
        start = time.time()
        failure = run.execute()
        failed += failure not in (None, BUSY)
        print(f"{name}: {failure or 'done'} after {(time.time() - start) / 60:.1f} min", flush=True)
        write_report(table, settings.out)
    print(write_report(table, settings.out))
    return int(failed > 0)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("Terminated; the same command resumes."))
    command_line.run(main)
