"""Count the positive bags of ``L_mil`` that are false because a crop cut their box.

    python benchmarks/bench_cut_boxes.py ANN_JSON IMG_DIR [--config FILE] [--epochs N] [--seed S]

The training pipeline of a config runs on images with human masks. A positive bag is a row or column
of cells in what is left of a box, and false if the mask does not reach it. The first table counts
all positive bags, and those that remain where ``PackCutSides`` notes the cut sides. The second one
groups the bags of all objects by the fraction of the box that was removed along the other axis:
rows by the removed width, columns by the removed height.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmdet.registry import DATASETS
from mmdet.utils import register_all_modules
from mmengine.config import Config
from rich.console import Console
from rich.table import Table

from mmdet_discobox.datasets import PackCutSides
from mmdet_discobox.functional import box_projections, cut_axes, known_bags

CONFIG = Path(__file__).parents[1] / "configs" / "discobox" / "yolact_r50_dcn.py"
#: pixels per cell
STRIDE = 4
#: upper bounds of the removed fraction of a box along an axis
FRACTIONS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4, 1.0)


def read_samples(args: argparse.Namespace) -> Iterator[Any]:
    """Yield training samples with masks, ``CropAwareBoxes`` and ``cut_sides``."""
    pipeline = Config.fromfile(args.config).train_dataloader.dataset.pipeline
    pipeline = [step for step in pipeline if step.type != "PackCutSides"]
    for step in pipeline:
        if step.type == "LoadAnnotations":
            step.update(with_mask=True, box_type="crop_aware")
        step.pop("recompute_bbox", None)  # from masks, which no training from boxes has
    names = [entry["name"] for entry in json.loads(Path(args.ann_json).read_text())["categories"]]
    dataset = DATASETS.build(
        dict(
            type="CocoDataset",
            ann_file=args.ann_json,
            data_prefix=dict(img=args.img_dir),
            metainfo=dict(classes=names),
            pipeline=pipeline,
        )
    )
    random.seed(args.seed)
    np.random.seed(args.seed)  # noqa: NPY002 - the transforms draw from it
    pack = PackCutSides(args.tolerance)
    for _ in range(args.epochs):
        yield from (pack(dataset[index])["data_samples"] for index in range(len(dataset)))


def count_bags(sample: Any, counts: Counter) -> None:
    """Count the bags of an image by ``(set of bags, kind)``."""
    truth = sample.gt_instances
    boxes, uncut = truth.bboxes.tensor, truth.bboxes.uncut
    masks = truth.masks.to_tensor(torch.float, "cpu")
    height, width = masks.shape[1:]
    masks = F.pad(masks[:, None], (0, -width % STRIDE, 0, -height % STRIDE))
    masks = F.max_pool2d(masks, STRIDE)[:, 0] > 0  # on the cells of the grid
    bags = box_projections(boxes / STRIDE, (masks.shape[1], masks.shape[2]))
    known = known_bags(*bags, truth.cut_sides)
    removed = 1 - (boxes[:, 2:] - boxes[:, :2]) / (uncut[:, 2:] - uncut[:, :2])
    groups = torch.bucketize(removed.clamp(0, 1) - 1e-4, torch.tensor(FRACTIONS))
    counts["objects", "all"] += len(boxes)
    counts["objects", "cut"] += int(cut_axes(truth.cut_sides).any(1).sum())
    for axis in range(2):  # rows, which a cut along x empties, and columns
        positive, false = bags[axis], bags[axis] & ~masks.any(2 - axis)
        kept = known[axis]
        for name, chosen in (("all", positive), ("kept", positive & kept)):
            counts[name, "bags"] += int(chosen.sum())
            counts[name, "false"] += int((chosen & false).sum())
        for group in range(len(FRACTIONS)):
            chosen = positive & (groups[:, axis] == group)[:, None]
            counts[group, "bags"] += int(chosen.sum())
            counts[group, "false"] += int((chosen & false).sum())


def main(argv: list[str] | None = None) -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description="Count false positive bags of cut boxes.")
    add = parser.add_argument
    add("ann_json", help="COCO json with masks")
    add("img_dir", help="folder of its images")
    add("--config", default=str(CONFIG), help="config with the pipeline (default: %(default)s)")
    add("--epochs", type=int, default=1, help="passes over the images (default: %(default)s)")
    add("--seed", type=int, default=0, help="seed of the crops")
    add("--tolerance", type=float, default=PackCutSides().tolerance, help="of PackCutSides")
    args = parser.parse_args(argv)
    register_all_modules()
    counts: Counter = Counter()
    for sample in read_samples(args):
        count_bags(sample, counts)
    console = Console()
    console.print(f"{counts['objects', 'cut']} of {counts['objects', 'all']} objects are cut.")
    table = Table("positive bags", "number", "false (%)")
    for name in ("all", "kept"):
        table.add_row(name, *_row(counts, name))
    console.print(table)
    table = Table("removed", "bags", "false (%)")
    for group, bound in enumerate(FRACTIONS):
        table.add_row(f"up to {100 * bound:g} %" if bound else "nothing", *_row(counts, group))
    console.print(table)


def _row(counts: Counter, name: object) -> tuple[str, str]:
    bags, false = counts[name, "bags"], counts[name, "false"]
    return str(bags), f"{100 * false / max(bags, 1):.1f}"


if __name__ == "__main__":
    main()
