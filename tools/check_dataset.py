"""Validate boxes, masks and images for training, and write a config for them.

    python tools/check_dataset.py ANN_JSON IMG_DIR --write-config FILE [--val JSON] [--use-masks]
    python tools/check_dataset.py ANN_JSON IMG_DIR [--config CFG] [--json OUT.json]

The exit status is 1 if training would stop or train on wrong boxes; then no config is written.
"""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from mmengine.config import Config
from rich.console import Console
from rich.progress import Progress

from dataset_checks import (
    DatasetReport,
    check_dataset,
    check_validation,
    find_training_problems,
)
from mmdet_discobox.annotation_files.coco_validation import load_coco_json
from mmdet_discobox.checkpoints import read_config
from mmdet_discobox.utils.command_line import prepare_result, run
from mmdet_discobox.utils.files import write_text
from mmdet_discobox.utils.versions import distribution_of
from starter_config import NETWORKS, DataFiles, StarterConfig, starter_config

DEFAULT, SMALLEST = "solov2", "rtmdet-ins-tiny"


def main(argv: Sequence[str] | None = None) -> int:
    """Check a data set, print the report, and write it as json and a config on request.

    Returns:
        Exit status.
    """
    args = parse_arguments(argv)
    for path, option in ((args.json, "--json"), (args.write_config, "--write-config")):
        if path is not None:
            prepare_result(path, option)
    starter = make_starter(args)
    config = None if starter is None else starter.config()
    report = check(args, config)
    print(report if args.write_config is None else replace(report, suggestions=None))
    content, stops = report.as_json(), report.stops_training
    if args.val is not None:
        validation = check_val(args, config)
        print(f"\nTo validate on: {validation}")
        content["validation"] = validation.as_json()
        stops |= validation.stops_training
    if args.json is not None:
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        args.json.write_text(text, encoding="utf-8")
    if stops and args.write_config is not None:
        print(f"\nNo config was written to {args.write_config}: fix the errors first.")
    elif starter is not None:
        print(write_config(starter, args.write_config))
        for hint in hints(args, report, starter):
            print(hint)
    return int(stops)


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line; exit with status 2 if options contradict each other."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("ann_json", type=Path, metavar="ANN_JSON", help="boxes in COCO format")
    parser.add_argument("img_dir", type=Path, metavar="IMG_DIR", help="folder of the images")
    parser.add_argument(
        "--config", type=Path, help="training config to check against (default: solov2_r50.py)"
    )
    parser.add_argument("--json", type=Path, help="file to write the report to as json")
    written = parser.add_argument_group("to write a config")
    written.add_argument(
        "--write-config",
        type=Path,
        metavar="FILE",
        help="file to write a training config to, which starts from weights of COCO",
    )
    written.add_argument(
        "--val",
        type=Path,
        metavar="VAL_JSON",
        help="json to validate on during the training; only with --write-config",
    )
    written.add_argument(
        "--val-img-dir", type=Path, help="folder of its images (default: IMG_DIR); only with --val"
    )
    written.add_argument(
        "--network",
        choices=NETWORKS,
        default=DEFAULT,
        help=f"network of the config (default: {DEFAULT}); only with --write-config",
    )
    written.add_argument(
        "--use-masks",
        action="store_true",
        help="the config trains on true masks, too; only with --write-config",
    )
    args = parser.parse_args(argv)
    check_options(parser, args)
    return args


def check_options(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Exit with status 2 if options contradict each other."""
    written = args.write_config
    if written is None and (args.val is not None or args.val_img_dir is not None):
        parser.error(
            "--val and --val-img-dir belong to --write-config. To check a json without writing a "
            "config, pass it and its folder as ANN_JSON IMG_DIR"
        )
    if written is None and args.use_masks:
        parser.error("--use-masks belongs to --write-config")
    if args.val is None and args.val_img_dir is not None:
        parser.error("--val-img-dir belongs to --val")
    if written is not None and args.config is not None:
        parser.error("--write-config writes a config, --config reads one: give one of them")
    if written is not None and (written.suffix != ".py" or written.exists()):
        fault = "exists" if written.exists() else "has no ending .py"
        parser.error(f"--write-config {written} {fault}: choose another name")


def check(args: argparse.Namespace, config: Config | None) -> DatasetReport:
    """Check the data set against the written config, that of ``--config``, or the default."""
    if args.config is not None:
        config = read_config(args.config)
    with progress_bar() as advance:
        return check_dataset(args.ann_json, args.img_dir, config=config, on_image=advance)


def check_val(args: argparse.Namespace, config: Config | None) -> DatasetReport:
    """Check the data set of ``--val`` against the written config."""
    folder, classes = args.val_img_dir or args.img_dir, None if config is None else config.classes
    with progress_bar() as advance:
        return check_validation(
            args.val, folder, classes=classes, trained=trained_files(args), on_image=advance
        )


def trained_files(args: argparse.Namespace) -> set[Path]:
    """Return the files of the images to train on."""
    dataset = load_coco_json(args.ann_json)
    if find_training_problems(dataset, image_dir=args.img_dir):
        return set()  # reported elsewhere
    return {(args.img_dir / image["file_name"]).resolve() for image in dataset["images"]}


@contextmanager
def progress_bar() -> Iterator[Callable[[], None]]:
    """Show the number of images that were read; yields the function that counts one."""
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("reading images", total=None)
        yield lambda: progress.advance(task)


def make_starter(args: argparse.Namespace) -> StarterConfig | None:
    """Make the config to write; None without ``--write-config`` or if the json has problems."""
    if args.write_config is None or find_training_problems(load_coco_json(args.ann_json)):
        return None
    files = DataFiles(args.ann_json, args.img_dir, args.val, args.val_img_dir)
    return starter_config(files, args.network, use_masks=args.use_masks)


def write_config(starter: StarterConfig, path: Path) -> str:
    """Write the config; return what it trains, and the command."""
    write_text(path, starter.text)
    plan = starter.plan
    mmdet, gpus = distribution_of("mmdet"), int(torch.cuda.is_available())
    command = f"mim train {mmdet} {shlex.quote(str(path))} --gpus {gpus}"
    return (
        f"\nWrote {path}: {starter.network.title}, images of {plan.image_scale} pixels, "
        f"{plan.batch_size} a step, {plan.epochs} epochs ({plan.steps:,} steps on one GPU).\n"
        f"Train with:\n\n    {command}"
    )


def hints(args: argparse.Namespace, report: DatasetReport, starter: StarterConfig) -> Iterator[str]:
    """Yield what another config would do better: on true masks, and without a GPU."""
    if report.true_masks and not args.use_masks:
        have = "objects have" if report.true_masks > 1 else "object has"
        yield (
            f"\n{report.true_masks} {have} a true mask: "
            "a config written with --use-masks trains on them."
        )
    if not torch.cuda.is_available():
        yield cpu_hint(args, starter.plan.steps)


def cpu_hint(args: argparse.Namespace, steps: int) -> str:
    """Describe the cost of a training on a CPU, and what takes less."""
    boxes = shlex.join((str(args.ann_json), str(args.img_dir)))
    smaller = f"- the smallest of these networks: --network {SMALLEST}\n"
    return (
        f"\nThere is no GPU here. This training has {steps:,} steps, and a step of such a network "
        "takes seconds to tens of seconds on a CPU core. Less work is\n"
        f"{smaller if args.network != SMALLEST else ''}"
        "- a network for CPUs, of configs/lite0/: docs/own_data.md, 'Without a GPU'\n"
        "- to train the shipped labeller on these boxes, and to label them with it:\n"
        f"  python tools/autolabel.py --fit {boxes} OUT_JSON"
    )


if __name__ == "__main__":
    run(main)
