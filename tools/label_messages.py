"""What the command that labels boxes prints: numbers of masks, and lists of what was left out."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from mmdet_discobox.labelling.labelled_boxes import LabelledBoxes, has_own_mask, is_accepted

IGNORED = (
    "{count} changes or deletions of '{name}' are not taken over: --corrected reads new masks "
    "alone. Change or delete boxes and classes in the json of the boxes, and label it again; to "
    "drop a mask alone, delete its `segmentation` there:"
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
