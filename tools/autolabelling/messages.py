"""What the command that labels boxes prints: numbers of masks, and lists of what was left out."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from mmdet_discobox.annotation_files.box_table import BoxTable
from mmdet_discobox.annotation_files.true_masks import is_true_mask
from mmdet_discobox.labelling.labelled_boxes import (
    LabelledBoxes,
    has_mask,
    has_own_mask,
    is_accepted,
    is_asked,
)
from mmdet_discobox.labelling.review.corrected_masks import CorrectedMasks
from mmdet_discobox.utils.types import Json

from .report import Report

IGNORED = (
    "{count} changes of '{name}' are not taken over, which reads new masks alone. Change boxes and "
    "classes, and delete boxes or masks (`segmentation`), in '{labels}' itself, and merge again:"
)
UNUSABLE = (
    "{count} masks of '{name}' cannot be used and are not taken over; their boxes keep what they "
    "have. Draw these masks again:"
)
#: number of failed boxes that are listed
LISTED = 20


def print_left_out(kind: str, reasons: Sequence[str]) -> None:
    """Print which images or accepted masks the training leaves out."""
    print_listed(f"{len(reasons)} {kind} are left out of the training:", reasons)


def print_listed(title: str, lines: Sequence[str]) -> None:
    """Print the first lines of a list to the error stream."""
    shown = [title, *(f"- {line}" for line in lines[:LISTED])]
    if len(lines) > LISTED:
        shown.append(f"... and {len(lines) - LISTED} more")
    print(*shown, sep="\n", file=sys.stderr)


def print_clipped(dataset: Json) -> None:
    """Warn of boxes that reach past their image, as corners in the place of sides do."""
    clipped = int(BoxTable(dataset).past_border.sum())
    if clipped:
        print(
            f"{clipped} of {len(dataset['annotations'])} boxes reach past their image by more than "
            "a pixel, and are cut off at its border. Many of them suggest corners "
            "(x1, y1, x2, y2) instead of [x, y, width, height], or images that were resized.",
            file=sys.stderr,
        )


def print_unmarked(args: argparse.Namespace, labels: Json, kept: Json) -> None:
    """Warn of masks that a person may have drawn, and that are not kept because none says so."""
    names = {category["id"]: category["name"] for category in labels["categories"]}
    unmarked = {a["id"] for a in labels["annotations"] if is_true_mask(a) and not is_accepted(a)}
    lost = sum(
        a["id"] in unmarked
        and is_asked(a, names, args.classes)
        and (hasattr(args, "img_dir") or not has_mask(a))
        for a in kept["annotations"]
    )
    if lost:
        print(
            f"{lost} masks of '{args.boxes}' have no `mask_source` and are not kept. If a person "
            'drew them, write "mask_source": "person" into their annotations first.',
            file=sys.stderr,
        )


def print_accepted(args: argparse.Namespace, labels: Json, kept: Json) -> None:
    """Print how many masks were accepted, and which boxes and images are left out."""
    accepted = sum(map(is_accepted, kept["annotations"]))
    others = len(kept["annotations"]) - accepted
    more = f" and {others} that were not on the page" if others else ""
    print(f"{accepted} accepted masks{more}: {args.out_json}")
    if images := len(labels["images"]) - len(kept["images"]):
        print(f"{images} images without an accepted mask are left out.")
    stay = {image["id"] for image in kept["images"]}
    shown = sum(a["image_id"] in stay for a in labels["annotations"])
    if background := shown - len(kept["annotations"]):
        print(
            f"{background} boxes without an accepted mask in the other images count as background."
        )


def print_rejected(args: argparse.Namespace, dataset: Json) -> None:
    """Print how many masks are to be corrected, and the command that takes them over."""
    marks = [a.get("attributes") for a in dataset["annotations"]]
    count = sum(isinstance(mark, dict) and mark.get("rejected") is True for mark in marks)
    print(
        f"{count} rejected masks (`attributes.rejected`) of {len(dataset['annotations'])} boxes in "
        f"{len(dataset['images'])} images: {args.out_json}\n"
        "Correct them in another tool, export COCO json, and merge:\n"
        f"    --accepted {args.rejected} --corrected EXPORT_JSON {args.boxes} NEXT_JSON"
    )


def print_corrected(args: argparse.Namespace, labels: Json, merged: CorrectedMasks) -> None:
    """Print what was taken over from another tool, and what was not."""
    print(f"{len(merged.changed)} masks of '{args.corrected}' are new or corrected.")
    if not (merged.changed or merged.unusable):
        print(
            f"None differs from its mask in '{args.boxes}': is '{args.corrected}' from before the "
            "correction?",
            file=sys.stderr,
        )
    if merged.renumbered:
        print(
            f"{merged.renumbered} of its annotations have other ids than their boxes, and were "
            "found by image and box."
        )
    bare = {a["id"] for a in labels["annotations"] if not has_mask(a)} & merged.changed
    if bare:
        print(
            f"{len(bare)} of the masks are of boxes that have none in '{args.boxes}', so each of "
            "these counts as a person's. If most were only labelled, pass the labelled json, "
            "OUT_JSON, instead."
        )
    if merged.unusable:
        title = UNUSABLE.format(count=len(merged.unusable), name=args.corrected)
        print_listed(title, merged.unusable)
    if merged.ignored:
        title = IGNORED.format(count=len(merged.ignored), name=args.corrected, labels=args.boxes)
        print_listed(title, merged.ignored)


def print_report(report: Report) -> None:
    """Print how many masks the page has, what is not on it, and its path."""
    if report.shown:
        content = f"{report.shown} masks"
    else:
        content = f"the page is empty, there are no masks to review: {report.empty}"
    if report.left_out:
        content += f"; {report.left_out} of higher quality are left out (--report-limit)"
    print(f"report: {content}: {report.path}")
    if report.unread:
        title = f"{len(report.unread)} images cannot be read and are not on the page:"
        print_listed(title, report.unread)


def print_result(args: argparse.Namespace, labelled: LabelledBoxes) -> None:
    """Print the number of masks, and the boxes without one."""
    print(f"{labelled.made} masks: {args.out_json}")
    if accepted := sum(map(is_accepted, labelled.dataset["annotations"])):
        print(f"{accepted} accepted masks are kept.")
    if kept := sum(map(has_own_mask, labelled.dataset["annotations"])):
        print(
            f"{kept} crowds keep the mask that they had (`iscrowd`, which CVAT's brush sets for "
            "single objects as well)."
        )
    if labelled.unpredicted and not args.teacher_only:
        print(f"{labelled.unpredicted} of them are computed from colours alone.")
    if labelled.failed:
        lines = [f"annotation {ann_id!r}: {reason}" for ann_id, reason in labelled.failed]
        print_listed(f"{len(lines)} boxes have no mask:", lines)
