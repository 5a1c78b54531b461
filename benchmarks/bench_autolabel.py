"""Compare masks of the auto-labeller, filled boxes, GrabCut and the student with human masks.

    python benchmarks/bench_autolabel.py ANN_JSON IMG_DIR [--detector CONFIG CHECKPOINT] [--limit N]

ANN_JSON is any COCO json with masks, which only the comparison reads. GrabCut starts from the
filled box (5 iterations). The student's mask is the network's own prediction for the box.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from scipy.stats import spearmanr

from annotated_images import grabcut, iou
from mmdet_discobox.annotation_files.coco_reading import read_coco
from mmdet_discobox.apis import AutoLabeler, BoxedImage
from mmdet_discobox.functional import expand_boxes
from mmdet_discobox.labelling.mask_encoding import decode_rle
from mmdet_discobox.models.teachers import paste_regions
from mmdet_discobox.utils.command_line import run
from mmdet_discobox.utils.images import read_image
from mmdet_discobox.utils.rle import to_rle
from mmdet_discobox.utils.types import Json


def boxed_images(args: argparse.Namespace) -> Iterator[tuple[BoxedImage, np.ndarray]]:
    """Yield images in random order, with the ``(G, H, W)`` true masks of their boxes."""
    dataset = read_coco(args.ann_json)
    names = {category["id"]: category["name"] for category in dataset["categories"]}
    left = args.limit
    for index in np.random.default_rng(args.seed).permutation(len(dataset["images"])):
        image = dataset["images"][index]
        own = [a for a in dataset["annotations"] if a["image_id"] == image["id"]]
        own = [a for a in own if not a.get("iscrowd") and min(a["bbox"][2:]) >= 1][:left]
        if not own:
            continue
        left -= len(own)
        yield _boxed_image(image, own, names, args.img_dir)
        if left <= 0:
            return


def _boxed_image(
    image: Json, annotations: list[Json], names: dict, folder: Path
) -> tuple[BoxedImage, np.ndarray]:
    height, width = image["height"], image["width"]
    pixels = read_image(folder / image["file_name"], size=(width, height))
    boxes = np.array([a["bbox"] for a in annotations], dtype=float)
    boxes[:, 2:] += boxes[:, :2]
    codes = [to_rle(a["segmentation"], height=height, width=width) for a in annotations]
    classes = [names[a["category_id"]] for a in annotations]
    return BoxedImage(pixels, boxes, classes), np.stack([*map(decode_rle, codes)])


def student_masks(labeler: AutoLabeler, image: BoxedImage) -> np.ndarray:
    """Predict ``(G, H, W)`` boolean masks of the boxes by the network alone."""
    objects = image.objects([labeler.labels.get(name, 0) for name in image.classes])
    objects = objects.to(labeler.device)
    regions = expand_boxes(objects.boxes, labeler.teacher.margin)
    features = labeler.predictor.extract([image])[0]
    rgb = torch.from_numpy(image.pixels[..., ::-1].copy()).permute(2, 0, 1)[None].float()
    coarse = labeler.predictor(features, rgb.to(labeler.device), objects, regions, 128).coarse
    masks = paste_regions(coarse.sigmoid(), regions, image.pixels.shape[:2])
    return (masks > 0.5).cpu().numpy()


def score(image: BoxedImage, truth: np.ndarray, labeler: AutoLabeler, *, grab: bool) -> list[Json]:
    """Return for each box the IoU of each method, the predicted quality and the seconds."""
    began = time.perf_counter()
    found = labeler([image])[0]
    seconds = (time.perf_counter() - began) / len(found)
    size = truth.shape[1:]
    boxes = np.zeros_like(truth)
    for box, mask in zip(boxes, found, strict=True):
        (x, y), (height, width) = mask.origin, mask.window.shape
        box[y : y + height, x : x + width] = True
    methods = {"filled box": boxes, "auto-labeller": np.stack([m.full(size) for m in found])}
    if grab:
        cuts = [grabcut(image.pixels[..., ::-1], box, box) for box in boxes]
        methods["GrabCut"] = np.stack(cuts)
    if labeler.predictor is not None:
        methods["student"] = student_masks(labeler, image) & boxes
    overlaps = {name: iou(masks, truth) for name, masks in methods.items()}
    inside = iou(methods["auto-labeller"], truth & boxes)
    return [
        dict(
            {name: float(ious[index]) for name, ious in overlaps.items()},
            inside=float(inside[index]), quality=mask.quality, seconds=seconds,
        )
        for index, mask in enumerate(found)
    ]  # fmt: skip


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("ann_json", type=Path, metavar="ANN_JSON")
    parser.add_argument("img_dir", type=Path, metavar="IMG_DIR")
    parser.add_argument("--detector", type=Path, nargs=2, metavar=("CONFIG", "CHECKPOINT"))
    parser.add_argument("--limit", type=int, default=300, help="boxes (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the order of the images")
    parser.add_argument("--no-grabcut", action="store_true", help="skip GrabCut (slow)")
    parser.add_argument("--out", type=Path, help="json of all results")
    args = parser.parse_args(argv)
    labeler = AutoLabeler.from_files(*args.detector) if args.detector else AutoLabeler()
    grab = not args.no_grabcut
    rows = [row for both in boxed_images(args) for row in score(*both, labeler, grab=grab)]
    if not rows:
        raise ValueError(f"Expected boxes with masks in '{args.ann_json}', but there are none.")
    table = Table("method", "mean IoU")
    for name in (key for key in rows[0] if key not in ("inside", "quality", "seconds")):
        table.add_row(name, f"{np.mean([row[name] for row in rows]):.4f}")
    Console().print(table)
    inside = np.array([row["inside"] for row in rows])
    print(f"inside the boxes: {inside.mean():.4f}, {(inside > 0.75).mean():.3f} above 0.75")
    correlation = spearmanr(*zip(*((r["quality"], r["auto-labeller"]) for r in rows), strict=True))
    print(f"{len(rows)} boxes, {1e3 * np.mean([row['seconds'] for row in rows]):.0f} ms each")
    print(f"rank correlation of predicted quality and IoU: {correlation.statistic:.3f}")
    if args.out:
        args.out.write_text(json.dumps(rows))


if __name__ == "__main__":
    run(main)
