"""Turn boxes into masks.

    python tools/autolabel.py CONFIG CHECKPOINT BOXES IMG_DIR OUT_JSON
    python tools/autolabel.py --teacher-only BOXES IMG_DIR OUT_JSON
    python tools/autolabel.py --accepted accepted.json MASKS_JSON OUT_JSON

BOXES is a COCO json, a folder of Pascal VOC xml files, or a folder of YOLO txt files. OUT_JSON is
the same as a COCO json with one mask for every box. A run that was killed goes on where it
stopped. Boxes that could not be done are named at the end, and the exit status is then 1. For
several processes: torchrun --nproc_per_node=N tools/autolabel.py --launcher pytorch ...
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import torch
from mmengine.dist import init_dist, is_main_process
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mmdet_discobox.datasets.box_formats import read_boxes
from mmdet_discobox.datasets.coco_validation import check_coco_boxes, load_coco_json
from mmdet_discobox.datasets.pictures import read_picture
from mmdet_discobox.evaluation.coco_masks import to_rle
from mmdet_discobox.labelling.auto_labeler import AutoLabeler
from mmdet_discobox.labelling.label_run import LabelRun
from mmdet_discobox.labelling.label_truth import compare_with_truth
from mmdet_discobox.labelling.labelled_boxes import (
    LabelledBoxes,
    add_masks,
    keep_accepted,
    read_accepted,
)
from mmdet_discobox.labelling.mask_encoding import decode_rle
from mmdet_discobox.utils.command_line import run
from mmdet_discobox.utils.files import write_json
from mmdet_discobox.utils.types import Json
from mmdet_discobox.visualization.label_report import ReportItem, write_label_report

TEACHER_ONLY = (
    "--teacher-only: these masks come from box shapes and colours alone. No network has seen the "
    "objects: expect lower quality, look at them (--report), and train on the boxes for better."
)
#: failed boxes that are named; all are counted
NAMED = 20
#: processes wait for the slowest for up to a day
TIMEOUT = 24 * 3600


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; the paths end up as attributes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="see above")
    parser.add_argument(
        "--teacher-only", action="store_true", help="without a checkpoint, from colours alone"
    )
    parser.add_argument(
        "--accepted", type=Path, help="drop the boxes that the page showed and nobody accepted"
    )
    parser.add_argument("--report", type=Path, metavar="DIR", help="write a page to look at")
    parser.add_argument(
        "--report-limit", type=int, default=2000, help="masks on it, worst first (%(default)s)"
    )
    parser.add_argument("--truth", type=Path, help="json of true masks to compare with")
    parser.add_argument("--polygons", action="store_true", help="instead of run lengths; no holes")
    parser.add_argument("--batch-size", type=int, default=2, help="pictures at once (%(default)s)")
    parser.add_argument(
        "--crop-size", type=int, default=128, help="cells along an object's grid (%(default)s)"
    )
    parser.add_argument("--device", help="default: the GPU if there is one")
    parser.add_argument("--launcher", choices=("none", "pytorch", "slurm", "mpi"), default="none")
    args = parser.parse_args(argv)
    names = ["config", "checkpoint", "boxes", "image_dir", "out"]
    if args.teacher_only:
        names = names[2:]
    elif args.accepted and len(args.paths) == 2:
        names = ["boxes", "out"]
    if len(args.paths) != len(names):
        wanted = " ".join(name.upper() for name in names)
        parser.error(f"expected {len(names)} paths ({wanted}) but got {len(args.paths)}")
    if args.batch_size < 1 or args.report_limit < 1:
        parser.error("--batch-size and --report-limit have to be at least 1")
    for name, path in zip(names, args.paths, strict=True):
        setattr(args, name, path)
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Label, write, and say what came of it.

    Returns:
        The exit status.
    """
    args = parse_args(argv)
    if args.out.exists() and args.boxes.resolve() == args.out.resolve():
        raise ValueError(f"Expected OUT_JSON to be another file than the boxes, '{args.boxes}'.")
    if args.out.is_dir():
        raise ValueError(f"Expected OUT_JSON to be a file, but '{args.out}' is a folder.")
    if hasattr(args, "image_dir"):
        return label(args)
    dataset = keep_accepted(read_json(args.boxes), args.accepted)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    write_json(args.out, dataset)
    accepted = len(set(read_accepted(args.accepted)[0]))
    others = len(dataset["annotations"]) - accepted
    more = f", and {others} that the page did not show" if others else ""
    print(f"{accepted} accepted masks{more}: {args.out}")
    return 0


def label(args: argparse.Namespace) -> int:
    """Make the masks."""
    device = set_up(args)
    dataset = read_boxes(args.boxes, args.image_dir)
    if args.accepted:
        dataset = keep_accepted(dataset, args.accepted)
    truth = None if args.truth is None else read_json(args.truth)
    labeler = build(args, dataset, device)
    journals = args.out.with_name(f"{args.out.name}.unfinished")
    work = LabelRun(dataset, args.image_dir, journals, settings_of(args))
    with Progress(
        TextColumn("labelling"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        console=Console(stderr=True), disable=not is_main_process(),
    ) as progress:  # fmt: skip
        bar = progress.add_task("", total=None)
        records = work.label(
            labeler,
            batch_size=args.batch_size,
            on_image=lambda done, total: progress.update(bar, completed=done, total=total),
        )
    if not is_main_process():
        return 0
    labelled = add_masks(dataset, records, polygons=args.polygons)
    write_json(args.out, labelled.dataset)
    tell(args, labelled)
    forget(work, labelled)
    if truth is not None:
        print(compare_with_truth(labelled.dataset, truth))
    if args.report:
        args.report.mkdir(parents=True, exist_ok=True)
        report(args, labelled.dataset)
    return int(bool(labelled.failed))


def read_json(path: Path) -> Json:
    """Read a COCO json and check it."""
    dataset: Json = load_coco_json(path)
    check_coco_boxes(dataset, name=str(path))
    return dataset


def set_up(args: argparse.Namespace) -> str:
    """Start the processes' group and choose the device."""
    cuda = torch.cuda.is_available() and not str(args.device).startswith("cpu")
    if args.launcher != "none" and cuda:
        init_dist(args.launcher, timeout=TIMEOUT)
    elif args.launcher == "pytorch":  # mmengine's launchers want a GPU
        torch.distributed.init_process_group("gloo", timeout=timedelta(seconds=TIMEOUT))
    elif args.launcher != "none":
        raise ValueError(
            f"Expected a GPU for --launcher {args.launcher} but got none. Without one, start the "
            "processes with torchrun and --launcher pytorch."
        )
    if args.device:
        return str(args.device)
    return f"cuda:{torch.cuda.current_device()}" if cuda else "cpu"


def build(args: argparse.Namespace, dataset: Json, device: str) -> AutoLabeler:
    """The labeler, with what there is to say about it."""
    if args.teacher_only:
        if is_main_process():
            print(TEACHER_ONLY)
        return AutoLabeler(device=device, crop_size=args.crop_size)
    labeler = AutoLabeler.from_files(
        args.config, args.checkpoint, device=device, crop_size=args.crop_size
    )
    names = [category["name"] for category in dataset["categories"]]
    unknown = [name for name in names if name not in labeler.labels]
    if names and len(unknown) == len(names):
        raise ValueError(
            f"Expected classes of the checkpoint ({', '.join(labeler.labels)}) in '{args.boxes}', "
            f"but it has {', '.join(names)}. Rename them, or use --teacher-only."
        )
    if unknown and is_main_process():
        print(
            f"{len(unknown)} classes are unknown to the checkpoint, and their boxes are done from "
            f"colours alone: {', '.join(unknown)}"
        )
    return labeler


def settings_of(args: argparse.Namespace) -> Json:
    """What the masks depend on besides the boxes."""
    files = [] if args.teacher_only else [args.config, args.checkpoint]
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]
    return dict(crop_size=args.crop_size, files=digests)


def tell(args: argparse.Namespace, labelled: LabelledBoxes) -> None:
    """Say what was done and name what was not."""
    done = len(labelled.dataset["annotations"]) - len(labelled.failed)
    print(f"{done} masks: {args.out}")
    if labelled.unpredicted and not args.teacher_only:
        print(f"{labelled.unpredicted} of them come from colours alone.")
    if labelled.failed:
        print(f"{len(labelled.failed)} boxes have no mask:", file=sys.stderr)
        for ann_id, reason in labelled.failed[:NAMED]:
            print(f"- annotation {ann_id!r}: {reason}", file=sys.stderr)
        if len(labelled.failed) > NAMED:
            print(f"... and {len(labelled.failed) - NAMED} more", file=sys.stderr)


def forget(work: LabelRun, labelled: LabelledBoxes) -> None:
    """Remove the journals, unless there are pictures to mend."""
    if not labelled.unread:
        work.remove_journals()
        return
    print(
        f"{labelled.unread} pictures could not be read. Mend them and give the same command: it "
        f"does these alone, by '{work.journal_dir}'. Delete that folder if they stay away.",
        file=sys.stderr,
    )


def report(args: argparse.Namespace, dataset: Json) -> None:
    """Write the page."""
    rated = [a for a in dataset["annotations"] if "mask_quality" in a]
    rated.sort(key=lambda a: a["mask_quality"])
    chosen, others = rated[: args.report_limit], rated[args.report_limit :]
    path = args.report / "index.html"
    items = report_items(dataset, chosen, args.image_dir)
    left_out = [a["id"] for a in others]
    write_label_report(path, items, title=args.out.name, left_out=left_out)
    print(f"page to look at: {path}")


def report_items(dataset: Json, annotations: list[Json], image_dir: Path) -> Iterator[ReportItem]:
    """Read the pictures of the masks, each once."""
    names = {category["id"]: category["name"] for category in dataset["categories"]}
    for image in dataset["images"]:
        mine = [a for a in annotations if a["image_id"] == image["id"]]
        if not mine:
            continue
        height, width = image["height"], image["width"]
        pixels = read_picture(image_dir / image["file_name"], size=(width, height))
        for a in mine:
            code = to_rle(a["segmentation"], height=height, width=width)
            yield ReportItem(
                ann_id=a["id"],
                class_name=names[a["category_id"]],
                quality=a["mask_quality"],
                file_name=image["file_name"],
                image=pixels,
                mask=decode_rle(code),
                box=tuple(a["bbox"]),
            )


if __name__ == "__main__":
    run(main)
