"""Measure how well, and how fast, the structured teacher refines coarse masks.

    python benchmarks/bench_teacher.py ANN_JSON IMG_DIR [--limit N] [--seed S] [--out FILE.json]

Any COCO json with masks will do. Human masks are coarsened in several ways (``coarse_starts.py``),
refined by the teacher in the paper's setting and in the default one and by GrabCut, and compared
with the human mask at the resolution of the picture. Start and result are cut at the box alike.
Without a json, only the cost in a training step is timed, also with the cross-image term and a full
bank of 80 classes, as the configs for COCO have it.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from pycocotools.coco import COCO
from rich.console import Console
from rich.table import Table

from coarse_starts import STARTS, start_logits
from mmdet_discobox.models.teachers import StructuredTeacher, paste_regions
from mmdet_discobox.structures import BoxObjects
from teacher_cost import MATCHING, STRIDE, time_step

#: Alg. 1 as printed, with the released values where the paper has none
PAPER: dict[str, Any] = dict(
    algorithm="alg1", colour_space="rgb", w1=2.0, zeta=29.0, dilations=(1,), margin=0.0
)
SETTINGS: dict[str, dict[str, Any]] = {"paper": PAPER, "default": {}}
#: upper ends of COCO's small and medium areas, in pixels of the original picture
SIZES = {"small": 32**2, "medium": 96**2, "large": float("inf")}


@dataclass(frozen=True)
class Picture:
    """One picture, padded to a multiple of 32, and the human masks of its objects."""

    seed: int
    image: np.ndarray  # (H, W, 3) RGB
    masks: np.ndarray  # (G, H, W) boolean
    objects: BoxObjects
    sizes: list[str]


def pictures(args: argparse.Namespace) -> Iterator[Picture]:
    """Read pictures until the limit of objects is reached."""
    coco = COCO(args.ann_json)
    chosen = sorted(coco.imgs)[args.part[0] - 1 :: args.part[1]]
    left = args.limit
    for image_id in np.random.default_rng(args.seed).permutation(chosen).tolist():
        record = coco.imgs[image_id]
        path = Path(args.img_dir) / record["file_name"]
        image = cv2.imread(str(path))
        if image is None:
            raise FileNotFoundError(f"Expected a picture at {path}, named in {args.ann_json}.")
        scale = min(1.0, args.long_side / max(image.shape[:2])) if args.long_side else 1.0
        annotations = [
            a
            for a in coco.imgToAnns[image_id]
            if not a.get("iscrowd") and min(a["bbox"][2:]) * scale >= args.min_size
        ][:left]
        if annotations:
            left -= len(annotations)
            yield _picture(coco, image, annotations, scale, args.seed + image_id)
        if left <= 0:
            return


def _picture(
    coco: COCO, image: np.ndarray, annotations: list[dict], scale: float, seed: int
) -> Picture:
    width, height = (round(scale * side) for side in image.shape[1::-1])
    pad = ((0, -height % 32), (0, -width % 32))
    masks = [
        cv2.resize(coco.annToMask(a) * 1.0, (width, height), interpolation=cv2.INTER_AREA)
        for a in annotations
    ]
    image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    boxes = np.float32([a["bbox"] for a in annotations]) * scale
    boxes[:, 2:] += boxes[:, :2]
    objects = BoxObjects(
        boxes=torch.from_numpy(boxes.clip(0, [width, height] * 2)),
        labels=torch.zeros(len(boxes), dtype=torch.long),
        image_inds=torch.zeros(len(boxes), dtype=torch.long),
        image_sizes=torch.tensor([[height, width]]).float(),
        image_ids=torch.full((len(boxes),), -1),
    )
    areas = [
        a.get("area", mask.sum() / scale**2) for a, mask in zip(annotations, masks, strict=True)
    ]
    return Picture(
        seed=seed,
        image=np.pad(image[..., ::-1], (*pad, (0, 0))),
        masks=np.pad(np.stack(masks) > 0.5, ((0, 0), *pad)),
        objects=objects,
        sizes=[next(name for name, end in SIZES.items() if area < end) for area in areas],
    )


def box_pixels(picture: Picture) -> np.ndarray:
    """``(G, H, W)`` boolean, pixels that a box touches."""
    rows, cols = np.indices(picture.masks.shape[1:])
    x1, y1, x2, y2 = picture.objects.boxes.numpy().T[:, :, None, None]
    return (cols + 1 > x1) & (cols < x2) & (rows + 1 > y1) & (rows < y2)


def refine(teacher: StructuredTeacher, picture: Picture, logits: torch.Tensor) -> np.ndarray:
    """``(G, H, W)`` boolean masks of the teacher, pasted into the picture."""
    images = torch.from_numpy(picture.image.copy()).permute(2, 0, 1)[None].float()
    predicted = torch.ones(len(logits), dtype=torch.bool)
    result = teacher(logits, predicted, picture.objects, images, stride=STRIDE)
    return (paste_regions(result.masks, result.regions, images.shape[2:]) > 0.5).numpy()


def grabcut(image: np.ndarray, start: np.ndarray, box: np.ndarray) -> np.ndarray:
    """GrabCut of 5 iterations from a start, seeing half a box around the box."""
    rows, cols = (np.flatnonzero(box.any(axis)) for axis in (1, 0))
    start = start & box
    if not start.any():
        return start
    height, width = len(rows) // 2, len(cols) // 2
    window = np.s_[
        max(rows[0] - height, 0) : rows[-1] + 1 + height,
        max(cols[0] - width, 0) : cols[-1] + 1 + width,
    ]
    labels = np.where(start, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels = np.where(box, labels, np.uint8(cv2.GC_BGD))[window].copy()
    if start[window].all():  # no background to learn from either
        return start
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(0)
    pixels = np.ascontiguousarray(image[window][..., ::-1])
    cv2.grabCut(pixels, labels, None, *models, 5, cv2.GC_INIT_WITH_MASK)
    result = np.zeros_like(box)
    result[window] = (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)
    return result & box


def iou(masks: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """``(G,)`` IoU of each mask with the human one."""
    union = (masks | truth).sum((1, 2))
    return (masks & truth).sum((1, 2)) / np.maximum(union, 1)


def score(picture: Picture, teachers: dict[str, StructuredTeacher], grab: bool) -> list[dict]:
    """One record per kind, method and object of a picture: IoU and milliseconds."""
    boxes, records = box_pixels(picture), []
    size = picture.masks.shape[1:]
    for kind in STARTS:
        logits = torch.from_numpy(
            start_logits(kind, picture.masks, picture.objects.boxes.numpy(), seed=picture.seed)
        )
        up = F.interpolate(logits.sigmoid()[:, None], size, mode="bilinear")[:, 0]
        start = (up > 0.5).numpy()
        results = {"start": (start & boxes, 0.0)}
        for name, teacher in teachers.items():
            began = time.perf_counter()
            masks = refine(teacher, picture, logits)
            results[name] = (masks & boxes, time.perf_counter() - began)
        if grab:
            began = time.perf_counter()
            cuts = [grabcut(picture.image, s, b) for s, b in zip(start, boxes, strict=True)]
            results["grabcut"] = (np.stack(cuts), time.perf_counter() - began)
        for method, (masks, seconds) in results.items():
            records += [
                dict(
                    kind=kind,
                    method=method,
                    size=s,
                    iou=100 * float(i),
                    ms=1e3 * seconds / len(masks),
                )
                for s, i in zip(picture.sizes, iou(masks, picture.masks), strict=True)
            ]
    return records


def summarise(records: list[dict]) -> list[dict]:
    """Mean IoU and time per kind, size and method."""
    rows = []
    for kind in STARTS:
        for size in ("all", *SIZES):
            row: dict[str, Any] = dict(kind=kind, size=size)
            chosen = [r for r in records if r["kind"] == kind and size in ("all", r["size"])]
            for method in dict.fromkeys(r["method"] for r in chosen):
                mine = [r for r in chosen if r["method"] == method]
                row["objects"] = len(mine)
                row[method] = float(np.mean([r["iou"] for r in mine]))
                row[f"{method}_ms"] = float(np.mean([r["ms"] for r in mine]))
            if chosen:
                rows.append(row)
    return rows


def show(rows: list[dict], console: Console) -> None:
    """Print IoU before, and after with its gain, for each method."""
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
        console.print(f"{method}: {cost:.1f} ms per object, cropping and pasting included")


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Measure the structured teacher.")
    parser.add_argument("ann_json", nargs="?", help="COCO json with masks")
    parser.add_argument("img_dir", nargs="?", help="folder of its pictures")
    parser.add_argument("--limit", type=int, default=300, help="objects (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the choice and the noise")
    parser.add_argument("--out", type=Path, help="write everything to this json")
    parser.add_argument(
        "--long-side", type=int, default=512, help="resize pictures to it (0: leave as they are)"
    )
    parser.add_argument(
        "--min-size", type=float, default=16, help="skip boxes below, in pixels after resizing"
    )
    parser.add_argument(
        "--part", type=int, nargs=2, default=(1, 1), metavar=("I", "N"),
        help="use the I-th of N parts of the pictures, to tune on one and report on another",
    )  # fmt: skip
    parser.add_argument("--no-grabcut", action="store_true", help="leave GrabCut out (it is slow)")
    args = parser.parse_args(argv)
    if (args.ann_json is None) != (args.img_dir is None):
        parser.error("IMG_DIR is needed with ANN_JSON")
    if not 1 <= args.part[0] <= args.part[1]:
        parser.error(f"--part I N needs 1 <= I <= N but got {args.part}")
    return args


def main(argv: list[str] | None = None) -> None:
    """Run the bench."""
    args = parse_args(argv)
    console = Console()
    teachers = {name: StructuredTeacher(**kwargs) for name, kwargs in SETTINGS.items()}
    run = dict(vars(args), out=str(args.out), threads=torch.get_num_threads(),
               torch=torch.__version__, machine=platform.processor() or platform.machine(),
               settings=SETTINGS)  # fmt: skip
    report: dict[str, Any] = dict(run=run)
    timed = {**teachers, "default with the cross-image term": StructuredTeacher(**MATCHING)}
    report["step_seconds"] = {name: time_step(teacher) for name, teacher in timed.items()}
    for name, seconds in report["step_seconds"].items():
        console.print(f"{name}: {seconds:.3f} s for 14 objects in 2 images of 448x640")
    if args.ann_json:
        records = [r for p in pictures(args) for r in score(p, teachers, grab=not args.no_grabcut)]
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
