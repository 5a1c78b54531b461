"""Measure the accuracy and the speed of the structured teacher on coarse masks.

    python benchmarks/bench_teacher.py ANN_JSON IMG_DIR [--limit N] [--seed S] [--out FILE.json]

ANN_JSON is any COCO json with masks. Human masks are coarsened in several ways
(``coarse_starts.py``), refined by the teacher in the paper's setting and in the default one and by
GrabCut, and compared with the human masks at the resolution of the image; all are clipped to the
boxes. Without a json, only the time of a training step is measured, also with the cross-image term
and a full bank of 80 classes, as in the configs for COCO.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table

from annotated_images import SIZES, STRIDE, AnnotatedImage, grabcut, iou, read_images, refine
from bench_models import fill_bank
from coarse_starts import STARTS, start_logits
from mmdet_discobox.models.teachers import StructuredTeacher
from mmdet_discobox.structures import BoxObjects, MaskProposals

#: settings of Alg. 1 as printed, with the released values where the paper has none
SETTINGS: dict[str, dict[str, Any]] = {
    "paper": dict(
        margin=0.0,
        refiner=dict(algorithm="alg1", colour_space="rgb", w1=2.0, zeta=29.0, dilations=(1,)),
    ),
    "default": {},
}
#: settings with the cross-image term, as in the configs for COCO
MATCHING = dict(cross_image=dict(type="CrossImageTerm", num_classes=80, channels=256))


def step_seconds(teacher: StructuredTeacher, repeats: int = 10) -> float:
    """Return the median seconds for 14 objects in 2 images of 448 x 640."""
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(14, 2, generator=generator) * torch.tensor([320.0, 224.0])
    sides = 40 + torch.rand(14, 2, generator=generator) * torch.tensor([280.0, 184.0])
    objects = BoxObjects(
        boxes=torch.cat([corners, corners + sides], 1),
        labels=torch.zeros(14, dtype=torch.long),
        image_inds=torch.arange(14) % 2,
        image_sizes=torch.tensor([[448.0, 640.0]]).repeat(2, 1),
        image_ids=torch.arange(14) % 2,
    )
    images = torch.rand(2, 3, 448, 640, generator=generator) * 255
    logits = torch.randn(14, 448 // STRIDE, 640 // STRIDE, generator=generator)
    proposals = MaskProposals(logits, torch.arange(14), objects, STRIDE)
    maps = [torch.randn(2, 256, 448 // s, 640 // s, generator=generator) for s in (4, 8)]
    fill_bank(teacher, classes=80, channels=256, device="cpu")
    seconds = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        teacher(proposals, images, feature_maps=maps)
        seconds.append(time.perf_counter() - began)
    return float(np.median(seconds[1:]))


def score(image: AnnotatedImage, teachers: dict[str, StructuredTeacher], grab: bool) -> list[dict]:
    """Return one record per kind of start, method and object: IoU and milliseconds."""
    boxes, records = image.box_pixels, []
    size = image.masks.shape[1:]
    for kind in STARTS:
        logits = torch.from_numpy(
            start_logits(kind, image.masks, image.objects.boxes.numpy(), seed=image.seed)
        )
        large = F.interpolate(logits.sigmoid()[:, None], size, mode="bilinear")[:, 0]
        start = (large > 0.5).numpy()
        results = {"start": (start & boxes, 0.0)}
        for name, teacher in teachers.items():
            began = time.perf_counter()
            masks = refine(teacher, image, logits)
            results[name] = (masks & boxes, time.perf_counter() - began)
        if grab:
            began = time.perf_counter()
            cuts = [grabcut(image.pixels, s, b) for s, b in zip(start, boxes, strict=True)]
            results["grabcut"] = (np.stack(cuts), time.perf_counter() - began)
        for method, (masks, seconds) in results.items():
            ms = 1e3 * seconds / len(masks)
            records += [
                dict(kind=kind, method=method, size=object_size, iou=100 * float(value), ms=ms)
                for object_size, value in zip(image.sizes, iou(masks, image.masks), strict=True)
            ]
    return records


def summarise(records: list[dict]) -> list[dict]:
    """Compute mean IoU and time by kind, size and method."""
    rows = []
    for kind in STARTS:
        for size in ("all", *SIZES):
            row: dict[str, Any] = dict(kind=kind, size=size)
            chosen = [r for r in records if r["kind"] == kind and size in ("all", r["size"])]
            for method in dict.fromkeys(r["method"] for r in chosen):
                own = [r for r in chosen if r["method"] == method]
                row["objects"] = len(own)
                row[method] = float(np.mean([r["iou"] for r in own]))
                row[f"{method}_ms"] = float(np.mean([r["ms"] for r in own]))
            if chosen:
                rows.append(row)
    return rows


def show(rows: list[dict], console: Console) -> None:
    """Print the IoU of the start, and that of each method with its gain."""
    methods = [key for key in rows[0] if f"{key}_ms" in rows[0] and key != "start"]
    table = Table(title="mean IoU with the human mask, before and after")
    for title in ("kind", "size", "objects", "start", *methods):
        table.add_column(title, justify="left" if title in ("kind", "size") else "right")
    for row in rows:
        cells = [f"{row[m]:.1f} ({row[m] - row['start']:+.1f})" for m in methods]
        cells = [row["kind"], row["size"], str(row["objects"]), f"{row['start']:.1f}", *cells]
        table.add_row(*cells, end_section=row["size"] == "large")
    console.print(table)
    overall = [row for row in rows if row["size"] == "all"]
    for method in methods:
        cost = np.mean([row[f"{method}_ms"] for row in overall])
        console.print(f"{method}: {cost:.1f} ms per object, including cropping and pasting")


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="Measure the structured teacher.")
    add = parser.add_argument
    add("ann_json", nargs="?", help="COCO json with masks")
    add("img_dir", nargs="?", help="folder of its images")
    add("--limit", type=int, default=300, help="number of objects (default: %(default)s)")
    add("--seed", type=int, default=0, help="seed of the selection and the noise")
    add("--out", type=Path, help="json of all results")
    add("--long-side", type=int, default=512, help="resize images to it (0: original size)")
    add("--min-size", type=float, default=16, help="skip smaller boxes, in resized pixels")
    add(
        "--part", type=int, nargs=2, default=(1, 1), metavar=("I", "N"),
        help="use the I-th of N parts of the images, for separate tuning and evaluation",
    )  # fmt: skip
    add("--no-grabcut", action="store_true", help="skip GrabCut (slow)")
    args = parser.parse_args(argv)
    if (args.ann_json is None) != (args.img_dir is None):
        parser.error("expected IMG_DIR with ANN_JSON")
    if not 1 <= args.part[0] <= args.part[1]:
        parser.error(f"expected --part I N with 1 <= I <= N but got {args.part}")
    return args


def main(argv: list[str] | None = None) -> None:
    """Run the benchmark."""
    args = parse_args(argv)
    console = Console()
    teachers = {name: StructuredTeacher(**kwargs) for name, kwargs in SETTINGS.items()}
    run = dict(vars(args), out=str(args.out), threads=torch.get_num_threads(),
               torch=torch.__version__, machine=platform.processor() or platform.machine(),
               settings=SETTINGS)  # fmt: skip
    report: dict[str, Any] = dict(run=run)
    timed = {**teachers, "default with the cross-image term": StructuredTeacher(**MATCHING)}
    report["step_seconds"] = {name: step_seconds(teacher) for name, teacher in timed.items()}
    for name, seconds in report["step_seconds"].items():
        console.print(f"{name}: {seconds:.3f} s for 14 objects in 2 images of 448x640")
    if args.ann_json:
        grab = not args.no_grabcut
        records = [r for image in read_images(args) for r in score(image, teachers, grab)]
        if not records:
            raise ValueError(
                f"Expected objects of at least {args.min_size} pixels in {args.ann_json} but "
                "found none; lower --min-size."
            )
        report.update(summary=summarise(records), records=records)
        show(report["summary"], console)
    if args.out:
        args.out.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
