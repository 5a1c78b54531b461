"""Validate boxes, masks and images for training, and suggest settings for them.

    python tools/check_dataset.py ANN_JSON IMG_DIR [--config CFG] [--json OUT.json]

The exit status is 1 if training would stop or train on wrong boxes.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config
from rich.console import Console
from rich.progress import Progress

from dataset_checks import check_dataset
from mmdet_discobox.utils.command_line import run


def main(argv: Sequence[str] | None = None) -> int:
    """Check a data set, print the report and write it as json.

    Returns:
        Exit status.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("ann_json", type=Path, metavar="ANN_JSON", help="boxes in COCO format")
    parser.add_argument("img_dir", type=Path, metavar="IMG_DIR", help="folder of the images")
    parser.add_argument("--config", type=Path, help="training config (default: solov2_r50.py)")
    parser.add_argument("--json", type=Path, help="file to write the report to as json")
    args = parser.parse_args(argv)
    if args.json is not None:
        make_parent(args.json)
    config = None if args.config is None else Config.fromfile(args.config)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("reading images", total=None)
        report = check_dataset(
            args.ann_json, args.img_dir, config=config, on_image=lambda: progress.advance(task)
        )
    print(report)
    if args.json is not None:
        text = json.dumps(report.as_json(), indent=2, ensure_ascii=False) + "\n"
        args.json.write_text(text, encoding="utf-8")
    return int(report.stops_training)


def make_parent(path: Path) -> None:
    """Create the folder of the report before the minutes of reading images."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        raise IsADirectoryError(
            f"Expected --json to name a file, but '{path}' is a folder. Pass a file in it."
        )


if __name__ == "__main__":
    run(main)
