"""Predict a mask for every box of a data set.

    python tools/autolabel.py BOXES IMG_DIR OUT_JSON
    python tools/autolabel.py --fit BOXES IMG_DIR OUT_JSON
    python tools/autolabel.py CONFIG CHECKPOINT BOXES IMG_DIR OUT_JSON
    python tools/autolabel.py --onnx FILE BOXES IMG_DIR OUT_JSON
    python tools/autolabel.py --teacher-only BOXES IMG_DIR OUT_JSON
    python tools/autolabel.py --accepted accepted.json MASKS_JSON OUT_JSON
    python tools/autolabel.py --accepted accepted.json MASKS_JSON NEXT_JSON --keep-boxes
    python tools/autolabel.py --rejected accepted.json MASKS_JSON TODO_JSON
    python tools/autolabel.py --corrected FIXED_JSON MASKS_JSON NEXT_JSON
    python tools/autolabel.py --report DIR MASKS_JSON IMG_DIR

The first form uses the box labeller that ships with the package. --fit trains it on your boxes
first, for minutes. CONFIG and CHECKPOINT are those of a detector or labeller of yours.
--onnx runs an exported labeller by ONNX Runtime, which is faster on a CPU. --teacher-only uses no
network.

BOXES is a COCO json, a folder of Pascal VOC xml files, or a folder of YOLO txt files. OUT_JSON is a
COCO json of the same boxes with masks, or with --format yolo-seg and voc-png a new folder: that of
ultralytics' segmentation training, or SegmentationObject and SegmentationClass of Pascal VOC. A
killed run resumes when started again. If boxes fail, they are listed at the end and the exit status
is 1. --accepted with two paths keeps the masks that were accepted on the page of --report, and
drops the other boxes. With --keep-boxes, all boxes stay, and the accepted masks are marked as a
person's: with --fit they teach beside the boxes of NEXT_JSON, and they are never overwritten.
--rejected writes a json of the images with rejected masks, to be corrected in another
tool, and --corrected takes its masks over, from its COCO export. --report with two paths draws that
page of masks that exist. For several processes:
torchrun --nproc_per_node=N tools/autolabel.py ...
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mmengine.dist import is_main_process
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from autolabelling.messages import (
    print_accepted,
    print_clipped,
    print_corrected,
    print_left_out,
    print_rejected,
    print_report,
    print_result,
    print_unmarked,
)
from autolabelling.networks import build_labeler, mask_settings
from autolabelling.options import parse_args
from autolabelling.processes import init_processes
from autolabelling.report import check_report_folder, check_report_place, is_rated, write_report
from autolabelling.truth import check_truth, compare_with_truth
from mmdet_discobox.annotation_files.box_formats import read_boxes
from mmdet_discobox.annotation_files.coco_reading import read_coco
from mmdet_discobox.labelling.fitting import fit_labeler
from mmdet_discobox.labelling.formats import check_images, check_output, write_masks
from mmdet_discobox.labelling.label_run import LabelRun
from mmdet_discobox.labelling.labelled_boxes import LabelledBoxes, add_masks, is_accepted
from mmdet_discobox.labelling.review.corrected_masks import merge_corrected
from mmdet_discobox.labelling.review.reviewed_masks import (
    check_loses_no_masks,
    images_to_correct,
    keep_accepted,
    mark_accepted,
    with_accepted_masks,
)
from mmdet_discobox.utils.command_line import run
from mmdet_discobox.utils.files import write_json
from mmdet_discobox.utils.ownership import sole_owner
from mmdet_discobox.utils.threads import leave_a_core
from mmdet_discobox.utils.types import Json


def main(argv: Sequence[str] | None = None) -> int:
    """Predict masks, keep the accepted ones, or draw the page of masks.

    Returns:
        Exit status.
    """
    args = parse_args(argv, description=__doc__)
    if not hasattr(args, "out_json"):
        return draw_page(args, read_masks(args.boxes), title=args.boxes.name)
    for path in (args.boxes, args.accepted, args.rejected, args.corrected, args.truth):
        if path is not None and path.exists() and path.resolve() == args.out_json.resolve():
            raise ValueError(f"Expected another file than '{path}' as OUT_JSON.")
    if args.report:
        check_report_place(args.report, args.out_json)
    check_output(args.format, args.out_json)
    if args.rejected:
        return extract_rejected(args)
    return label(args) if hasattr(args, "img_dir") else accept(args)


def extract_rejected(args: argparse.Namespace) -> int:
    """Write the images with a rejected mask; return the exit status."""
    dataset = images_to_correct(read_coco(args.boxes), args.rejected)
    check_loses_no_masks(dataset, args.out_json)
    with sole_owner(journal_dir(args)):
        write_json(args.out_json, dataset)
    print_rejected(args, dataset)
    return 0


def accept(args: argparse.Namespace) -> int:
    """Keep the accepted masks; return the exit status."""
    labels = read_coco(args.boxes)
    dataset, corrected = select_masks(args, labels)
    check_loses_no_masks(dataset, args.out_json, corrected)
    print_unmarked(args, labels, dataset)
    with sole_owner(journal_dir(args)):
        if args.keep_boxes:
            write_json(args.out_json, dataset)
            masks = sum(map(is_accepted, dataset["annotations"]))
            boxes = len(dataset["annotations"])
            print(f"{boxes} boxes, {masks} with a mask of a person: {args.out_json}")
            return 0
        notes = write_masks(args.format, args.out_json, dataset)
    print_accepted(args, labels, dataset)
    print("".join(f"{note}\n" for note in notes), end="")
    return 0


def select_masks(args: argparse.Namespace, dataset: Json) -> tuple[Json, frozenset[int | str]]:
    """Apply --accepted, --corrected and --keep-boxes; return also the ids of corrected masks."""
    corrected: frozenset[int | str] = frozenset()
    if args.corrected:
        merged = merge_corrected(dataset, read_coco(args.corrected), name=str(args.corrected))
        if is_main_process():
            print_corrected(args, dataset, merged)
        dataset, corrected = merged.dataset, merged.changed
    if not args.keep_boxes:
        return keep_accepted(dataset, args.accepted) if args.accepted else dataset, corrected
    if not args.accepted:
        return with_accepted_masks(dataset, args.classes), corrected
    return mark_accepted(dataset, args.accepted, args.classes), corrected


def label(args: argparse.Namespace) -> int:
    """Predict the masks of all boxes; return the exit status."""
    device = init_processes(args.launcher, args.device)
    leave_a_core()
    boxes = read_boxes(args.boxes, args.img_dir)
    dataset, corrected = select_masks(args, boxes)
    check_loses_no_masks(dataset, args.out_json, corrected)
    check_images(args.format, dataset, args.classes)
    if is_main_process():
        print_clipped(dataset)
        print_unmarked(args, boxes, dataset)
    truth = None if args.truth is None else read_coco(args.truth)
    check_classes(args.classes, dataset)
    if truth is not None:
        check_truth(dataset, truth, args.classes)
    if args.report:
        check_report_folder(args.report)
    with sole_owner(journal_dir(args)):
        if args.fit:
            args.config, args.checkpoint = fit(args, dataset, device)
        labeler = build_labeler(args, dataset, device)
        label_run = LabelRun(
            dataset, args.img_dir, journal_dir(args), mask_settings(args), args.classes
        )
        with progress_bar("labelling") as update:
            records = label_run.label(labeler, batch_size=args.batch_size, on_image=update)
        if not is_main_process():
            return 0
        labelled = add_masks(dataset, records, polygons=args.polygons, classes=args.classes)
        write_results(args, labelled, truth)
        remove_journals(args, label_run, labelled)
    return int(bool(labelled.failed))


def journal_dir(args: argparse.Namespace) -> Path:
    """Return the folder of an unfinished run, which is also that of its lock."""
    return beside(args.out_json, ".unfinished")


def beside(out: Path, suffix: str) -> Path:
    """Return the path of OUT_JSON with a suffix."""
    named = out if out.name.strip(".") else out.resolve()  # `.` and `..` are empty folders, too
    return named.with_name(f"{named.name}{suffix}")


def write_results(args: argparse.Namespace, labelled: LabelledBoxes, truth: Json | None) -> None:
    """Write the masks, compare them and draw their page.

    A folder is written last: once it exists, the same command is refused, and would not draw the
    page after a kill. A json is written first: the page can still be drawn of it.
    """
    compared = truth and compare_with_truth(labelled.dataset, truth, args.classes)
    if args.report and args.format != "coco":
        draw_page(args, labelled.dataset, title=args.out_json.name)
    notes = write_masks(args.format, args.out_json, labelled.dataset, args.img_dir)
    print_result(args, labelled)
    print("".join(f"{note}\n" for note in notes), end="")
    if compared:
        print(compared)
    if args.report and args.format == "coco":
        draw_page(args, labelled.dataset, title=args.out_json.name)


def draw_page(args: argparse.Namespace, dataset: Json, *, title: str) -> int:
    """Write the page of masks; return the exit status, 1 if images cannot be read."""
    report = write_report(args.report, dataset, args.img_dir, title=title, limit=args.report_limit)
    print_report(report)
    return int(bool(report.unread))


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar of progress with the remaining time; yields the function that moves it."""
    with Progress(
        TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        console=Console(stderr=True), disable=not is_main_process(),
    ) as progress:  # fmt: skip
        bar = progress.add_task("", total=None)
        yield lambda done, total: progress.update(bar, completed=done, total=total)


def check_classes(names: Sequence[str] | None, dataset: Json) -> None:
    """Check that the classes of --classes are in the boxes.

    Raises:
        ValueError: if one is not.
    """
    known = [category["name"] for category in dataset["categories"]]
    if unknown := [name for name in names or () if name not in known]:
        raise ValueError(
            f"Expected --classes of the boxes but got {', '.join(unknown)}. Theirs are "
            f"{', '.join(known)}."
        )


def fit(args: argparse.Namespace, dataset: Json, device: str) -> tuple[Path, Path]:
    """Train the shipped labeller on the boxes; return the paths of its config and weights."""
    folder = beside(args.out_json, ".labeler")
    with progress_bar("training") as update:
        files = fit_labeler(
            dataset, args.img_dir, folder,
            epochs=args.epochs, seed=args.seed or 0, device=device,
            on_iteration=update, on_left_out=print_left_out,
        )  # fmt: skip
    print(f"labeller of these boxes, for other images of the kind: {files[0]} {files[1]}")
    return files


def read_masks(path: Path) -> Json:
    """Read a json that this command has written."""
    dataset = read_coco(path)
    if not any(map(is_rated, dataset["annotations"])):
        raise ValueError(
            f"Expected masks of this command, which have a `mask_quality`, in '{path}' but got "
            "none. To label boxes, also pass OUT_JSON."
        )
    return dataset


def remove_journals(args: argparse.Namespace, label_run: LabelRun, labelled: LabelledBoxes) -> None:
    """Remove the journals, unless images could not be read."""
    if not labelled.unread:
        label_run.remove_journals()
        return
    fix = "Fix them" if args.format == "coco" else f"Fix them, delete '{args.out_json}'"
    print(
        f"{labelled.unread} images could not be read. {fix} and run the same command: it reuses "
        f"'{label_run.journal_dir}' and labels only these. Otherwise, delete that folder.",
        file=sys.stderr,
    )


if __name__ == "__main__":
    run(main, interrupted="Interrupted. The same command resumes a labelling or training.")
