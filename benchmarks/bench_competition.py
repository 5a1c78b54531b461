"""Measure what ``StructuredTeacher(competition=)`` does where boxes of a class overlap.

    python benchmarks/bench_competition.py ANN_JSON IMG_DIR [--limit N] [--seed S]

Human masks are coarsened and refined as in ``bench_teacher.py``, with each weight. Objects are
grouped by the share of their box that boxes of the same class and image cover.
"""

from __future__ import annotations

import argparse
from collections import defaultdict

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from annotated_images import iou, read_images, refine
from coarse_starts import STARTS, start_logits
from mmdet_discobox.models.teachers import StructuredTeacher
from mmdet_discobox.models.teachers.competition import shared_area

#: names and exclusive upper bounds of the groups
GROUPS = {"none": 1e-9, "under 10 %": 0.1, "10 to 50 %": 0.5, "50 % and more": float("inf")}


def measure(args: argparse.Namespace) -> dict[tuple[str, str], dict[float, list[float]]]:
    """Return the IoU (%) of all objects by start, group and weight."""
    teachers = {weight: StructuredTeacher(competition=weight) for weight in args.weights}
    found: dict = defaultdict(lambda: defaultdict(list))
    for image in read_images(args):
        covered = shared_area(image.objects).sum(1).tolist()
        groups = [next(name for name, end in GROUPS.items() if share < end) for share in covered]
        for kind in STARTS:
            starts = start_logits(kind, image.masks, image.objects.boxes.numpy(), seed=image.seed)
            for weight, teacher in teachers.items():
                masks = refine(teacher, image, torch.from_numpy(starts))
                for group, value in zip(groups, iou(masks, image.masks), strict=True):
                    found[kind, group][weight].append(100 * float(value))
    return found


def main(argv: list[str] | None = None) -> None:
    """Print the mean IoU by start, group and weight."""
    parser = argparse.ArgumentParser(description="Measure the competition of overlapping objects.")
    add = parser.add_argument
    add("ann_json", help="COCO json with masks")
    add("img_dir", help="folder of its images")
    add("--limit", type=int, default=300, help="number of objects (default: %(default)s)")
    add("--seed", type=int, default=0, help="seed of the selection and the noise")
    add("--long-side", type=int, default=640, help="resize images to it (0: original size)")
    add("--min-size", type=float, default=16, help="skip smaller boxes, in resized pixels")
    add("--weights", type=float, nargs="+", default=[0.0, 0.25, 0.5, 1.0], help="values to compare")
    add("--part", type=int, nargs=2, default=(1, 1), metavar=("I", "N"), help="part of the images")
    args = parser.parse_args(argv)
    found = measure(args)
    table = Table("start", "share of the box", "objects", *map(str, args.weights))
    for kind in STARTS:
        for group in GROUPS:
            if (kind, group) in found:
                values = found[kind, group]
                means = [f"{np.mean(values[weight]):.1f}" for weight in args.weights]
                table.add_row(kind, group, str(len(values[args.weights[0]])), *means)
    Console().print(table)


if __name__ == "__main__":
    main()
