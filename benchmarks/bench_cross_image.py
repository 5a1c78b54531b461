"""Measure what the cross-image term adds to the structured teacher.

    python benchmarks/bench_cross_image.py ANN_JSON IMG_DIR [--limit N] [--seed S]

Human masks are coarsened and refined as in ``bench_teacher.py``: without the term, with partners
that are the same object in warped copies of its picture (flipped, turned, scaled, recoloured), and
with partners drawn from other pictures. A partner's mask is what the teacher makes of a start of
its own. The same objects either all start from the object's own kind, and err alike, or from a kind
drawn for each, and err apart; random ones err alike. Features are those of an EfficientNet-Lite0
trained on ImageNet.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table

from bench_teacher import STRIDE, Picture, box_pixels, iou, pictures, refine
from coarse_starts import start_logits
from mmdet_discobox.functional import masks_to_boxes
from mmdet_discobox.models.backbones import EfficientNetLite
from mmdet_discobox.models.teachers import StructuredTeacher, crop_regions, paste_regions
from mmdet_discobox.structures import PseudoMasks

KINDS = ("coarse", "soft", "eroded", "dilated", "ellipse")
#: what partners that err apart start from
DRAWN = KINDS[:4]


@dataclass(frozen=True)
class Partners:
    """G objects that can be put into a bank."""

    features: torch.Tensor  # (G, C, S, S)
    masks: torch.Tensor  # (G, S, S)


def warped(picture: Picture, seed: int) -> Picture:
    """The same objects in a picture that is flipped at random, turned, scaled and recoloured."""
    rng = np.random.default_rng(seed)
    height, width = picture.masks.shape[1:]
    turn = cv2.getRotationMatrix2D(
        (width / 2, height / 2), rng.uniform(-12, 12), rng.uniform(0.85, 1.0)
    )
    flip = rng.random() < 0.5
    image, *masks = (
        cv2.warpAffine(layer[:, ::-1] if flip else layer, turn, (width, height))
        for layer in (picture.image, *picture.masks.astype(np.uint8))
    )
    image = (image * rng.uniform(0.8, 1.2, 3)).clip(0, 255).astype(np.uint8)
    masks = np.stack(masks) > 0
    boxes = masks_to_boxes(torch.from_numpy(masks))
    return replace(
        picture,
        seed=seed,
        image=image,
        masks=masks,
        objects=replace(picture.objects, boxes=boxes),
    )


def embed(network: EfficientNetLite, level: int, picture: Picture, size: int) -> torch.Tensor:
    """RoI features of the objects, ``(G, C, S, S)``."""
    image = torch.from_numpy(picture.image.copy()).permute(2, 0, 1)[None].float()
    with torch.no_grad():
        features = network((image - 127) / 128)[level]
    boxes = picture.objects.boxes * features.shape[-1] / image.shape[-1]
    return crop_regions(features, boxes, picture.objects.image_inds, size)


def coarse_logits(kind: str, picture: Picture) -> torch.Tensor:
    """Coarse starts of all objects, on the grid of a network."""
    boxes = picture.objects.boxes.numpy()
    return torch.from_numpy(start_logits(kind, picture.masks, boxes, seed=picture.seed))


def partners_of(
    teacher: StructuredTeacher, kind: str, picture: Picture, features: torch.Tensor
) -> Partners:
    """Features and refined masks of a picture's objects."""
    masks = torch.from_numpy(refine(teacher, picture, coarse_logits(kind, picture))).float()
    rows = torch.arange(len(masks))
    size = features.shape[-1]
    return Partners(features, crop_regions(masks[:, None], picture.objects.boxes, rows, size)[:, 0])


def with_partners(
    kind: str,
    picture: Picture,
    features: torch.Tensor,
    partners: Sequence[Partners],
    **settings: Any,
) -> np.ndarray:
    """Refine with a bank that holds, for each object, its partners alone."""
    count, channels, size, _ = features.shape
    bank = dict(capacity=len(partners), min_retrieved=1, max_retrieved=len(partners), min_area=0)
    term = dict(num_classes=count, channels=channels, size=size, bank=bank, **settings)
    teacher = StructuredTeacher(cross_image=dict(type="CrossImageTerm", **term))
    objects = replace(picture.objects, labels=torch.arange(count))
    known = torch.ones(count, dtype=torch.bool)
    for partner in partners:
        teacher.cross_image.update_bank(partner.features, partner.masks, objects, known)
    images = torch.from_numpy(picture.image.copy()).permute(2, 0, 1)[None].float()
    result: PseudoMasks = teacher(
        coarse_logits(kind, picture), known, objects, images, stride=STRIDE, features=features
    )
    return _pasted(result, picture)


def _pasted(result: PseudoMasks, picture: Picture) -> np.ndarray:
    size = picture.masks.shape[1:]
    return (paste_regions(result.masks, result.regions, size) > 0.5).numpy()


def random_partners(
    teacher: StructuredTeacher,
    kind: str,
    others: Sequence[tuple[Picture, torch.Tensor]],
    count: int,
    rng: np.random.Generator,
) -> list[Partners]:
    """For each of ``count`` objects one of the objects of every other picture."""
    result = []
    for other, features in others:
        drawn = partners_of(teacher, kind, other, features)
        chosen = torch.from_numpy(rng.integers(len(drawn.masks), size=count))
        result.append(Partners(drawn.features[chosen], drawn.masks[chosen]))
    return result


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("ann_json")
    parser.add_argument("img_dir")
    parser.add_argument("--limit", type=int, default=60, help="objects")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--partners", type=int, default=5, help="of each object")
    parser.add_argument("--level", type=int, default=1, help="of the backbone: stride 4 * 2^level")
    parser.add_argument("--size", type=int, default=7, help="cells along a side of the RoI grid")
    parser.add_argument("--w2", type=float, nargs="+", default=[0.2])
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
    parser.add_argument("--part", type=int, nargs=2, default=(1, 1), metavar=("I", "N"))
    parser.add_argument("--unbalanced", action="store_true", help="votes as they are")
    parser.set_defaults(long_side=320, min_size=24)
    return parser.parse_args()


def main() -> None:
    """Print mean IoU per kind of start."""
    args = parse_args()
    network, plain = EfficientNetLite().eval(), StructuredTeacher()
    scores: dict[tuple[str, str], list[float]] = {}
    found = list(pictures(args))
    embedded = [embed(network, args.level, picture, args.size) for picture in found]
    rng = np.random.default_rng(args.seed)
    for index, (picture, features) in enumerate(zip(found, embedded, strict=True)):
        warps = [warped(picture, 1000 * index + n) for n in range(args.partners)]
        copies = [(copy, embed(network, args.level, copy, args.size)) for copy in warps]
        drawn = [(index + 1 + int(rng.integers(len(found) - 1))) % len(found) for _ in copies]
        others = [(found[other], embedded[other]) for other in drawn]
        kinds = [str(kind) for kind in rng.choice(DRAWN, len(copies))]
        apart = [partners_of(plain, kind, *copy) for kind, copy in zip(kinds, copies, strict=True)]
        boxes = box_pixels(picture)
        for kind in args.kinds:
            sets = {
                "alike": [partners_of(plain, kind, *copy) for copy in copies],
                "apart": apart,
                "random": random_partners(plain, kind, others, len(features), rng),
            }
            logits = coarse_logits(kind, picture)
            up = F.interpolate(logits.sigmoid()[:, None], boxes.shape[1:], mode="bilinear")[:, 0]
            results = {"start": (up > 0.5).numpy(), "without": refine(plain, picture, logits)}
            for w2, (name, partners) in itertools.product(args.w2, sets.items()):
                term = dict(w2=w2, balanced=not args.unbalanced)
                masks = with_partners(kind, picture, features, partners, **term)
                results[f"{name}, w2 {w2:g}"] = masks
            for name, masks in results.items():
                values = 100 * iou(masks & boxes, picture.masks)
                scores.setdefault((kind, name), []).extend(values.tolist())
    _print(scores)


def _print(scores: dict[tuple[str, str], list[float]]) -> None:
    names = list(dict.fromkeys(name for _, name in scores))
    count = len(next(iter(scores.values())))
    table = Table("start of", *names, title=f"mean IoU of {count} objects")
    for kind in dict.fromkeys(kind for kind, _ in scores):
        table.add_row(kind, *(f"{np.mean(scores[kind, name]):.1f}" for name in names))
    Console().print(table)


if __name__ == "__main__":
    main()
