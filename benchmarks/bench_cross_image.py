"""Measure the gain of the cross-image term over the structured teacher without it.

    python benchmarks/bench_cross_image.py ANN_JSON IMG_DIR [--limit N] [--seed S]

Human masks are coarsened and refined as in ``bench_teacher.py``: without the term, with partners
that are the same object in warped copies of its image (flipped, rotated, scaled, recoloured), and
with partners from other images. The teacher refines the masks of partners from coarse starts. Those
of warped copies are either all of the object's own kind, so that their errors correlate (`alike`),
or of random kinds (`apart`); those of other images are of the object's own kind. Features are those
of an EfficientNet-Lite0 trained on ImageNet.
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
from torch import Tensor

from annotated_images import AnnotatedImage, iou, read_images, refine
from coarse_starts import start_logits
from mmdet_discobox.functional import masks_to_boxes
from mmdet_discobox.models.backbones import EfficientNetLite
from mmdet_discobox.models.teachers import StructuredTeacher, crop_regions
from mmdet_discobox.structures import PseudoMasks

KINDS = ("coarse", "soft", "eroded", "dilated", "ellipse")
#: kinds of the partners whose errors differ
RANDOM_KINDS = KINDS[:4]


@dataclass(frozen=True)
class Subject:
    """An image with its feature maps.

    Attributes:
        image: image with human masks.
        maps: ``(1, C, h, w)`` each, outputs of the backbone.
        features: ``(G, C, S, S)`` RoI features of the objects, from one of them.
    """

    image: AnnotatedImage
    maps: Sequence[Tensor]
    features: Tensor


@dataclass(frozen=True)
class Partners:
    """G objects for the bank: features ``(G, C, S, S)`` and masks ``(G, S, S)``."""

    features: Tensor
    masks: Tensor


def warped(image: AnnotatedImage, seed: int) -> AnnotatedImage:
    """Flip at random, rotate, scale and recolour an image with its objects."""
    rng = np.random.default_rng(seed)
    height, width = image.masks.shape[1:]
    turn = cv2.getRotationMatrix2D(
        (width / 2, height / 2), rng.uniform(-12, 12), rng.uniform(0.85, 1.0)
    )
    flip = rng.random() < 0.5
    pixels, *masks = (
        cv2.warpAffine(layer[:, ::-1] if flip else layer, turn, (width, height))
        for layer in (image.pixels, *image.masks.astype(np.uint8))
    )
    pixels = (pixels * rng.uniform(0.8, 1.2, 3)).clip(0, 255).astype(np.uint8)
    masks = np.stack(masks) > 0
    objects = replace(image.objects, boxes=masks_to_boxes(torch.from_numpy(masks)))
    return replace(image, seed=seed, pixels=pixels, masks=masks, objects=objects)


def embed(network: EfficientNetLite, level: int, image: AnnotatedImage, size: int) -> Subject:
    """Compute the feature maps of an image, and the RoI features of its objects."""
    with torch.no_grad():
        maps = network((image.batch - 127) / 128)
    boxes = image.objects.boxes * maps[level].shape[-1] / image.pixels.shape[1]
    return Subject(image, maps, crop_regions(maps[level], boxes, image.objects.image_inds, size))


def coarse_logits(kind: str, image: AnnotatedImage) -> Tensor:
    """Compute the coarse starts of all objects on the grid of a network."""
    boxes = image.objects.boxes.numpy()
    return torch.from_numpy(start_logits(kind, image.masks, boxes, seed=image.seed))


def partners_of(teacher: StructuredTeacher, kind: str, subject: Subject) -> Partners:
    """Refine the masks of an image's objects as partners."""
    image, size = subject.image, subject.features.shape[-1]
    masks = torch.from_numpy(refine(teacher, image, coarse_logits(kind, image))).float()
    rows = torch.arange(len(masks))
    grids = crop_regions(masks[:, None], image.objects.boxes, rows, size)[:, 0]
    return Partners(subject.features, grids)


def random_partners(
    teacher: StructuredTeacher,
    kind: str,
    others: Sequence[Subject],
    count: int,
    rng: np.random.Generator,
) -> list[Partners]:
    """Draw one object of every other image for each of ``count`` objects."""
    result = []
    for other in others:
        drawn = partners_of(teacher, kind, other)
        chosen = torch.from_numpy(rng.integers(len(drawn.masks), size=count))
        result.append(Partners(drawn.features[chosen], drawn.masks[chosen]))
    return result


def refine_with(
    kind: str, subject: Subject, partners: Sequence[Partners], **settings: Any
) -> np.ndarray:
    """Refine with a bank that holds the partners of each object under a class of its own."""
    image = subject.image
    count, channels, size, _ = subject.features.shape
    bank = dict(capacity=len(partners), min_retrieved=1, max_retrieved=len(partners), min_area=0)
    term = dict(num_classes=count, channels=channels, size=size, bank=bank, **settings)
    teacher = StructuredTeacher(cross_image=dict(type="CrossImageTerm", **term))
    objects = replace(image.objects, labels=torch.arange(count))
    for partner in partners:
        inside = torch.ones_like(partner.masks, dtype=torch.bool)
        known = inside[:, 0, 0]
        pseudo = PseudoMasks(
            partner.masks, inside, objects.boxes, known, known.float(), partner.features
        )
        teacher.update_bank(pseudo, objects)
    proposals = replace(image, objects=objects).proposals(coarse_logits(kind, image))
    return image.paste(teacher(proposals, image.batch, feature_maps=subject.maps))


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("ann_json")
    add("img_dir")
    add("--limit", type=int, default=60, help="number of objects")
    add("--seed", type=int, default=0)
    add("--partners", type=int, default=5, help="partners per object")
    add("--level", type=int, default=1, help="level of the backbone: stride 4 * 2^level")
    add("--size", type=int, default=7, help="cells along each side of the RoI grid")
    add("--w2", type=float, nargs="+", default=[0.2])
    add("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
    add("--part", type=int, nargs=2, default=(1, 1), metavar=("I", "N"))
    add("--unbalanced", action="store_true", help="do not balance the votes")
    parser.set_defaults(long_side=320, min_size=24)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the mean IoU by kind of start."""
    args = parse_args(argv)
    network, plain = EfficientNetLite().eval(), StructuredTeacher()
    scores: dict[tuple[str, str], list[float]] = {}
    subjects = [embed(network, args.level, image, args.size) for image in read_images(args)]
    rng = np.random.default_rng(args.seed)
    for index, subject in enumerate(subjects):
        image = subject.image
        copies = [
            embed(network, args.level, warped(image, 1000 * index + n), args.size)
            for n in range(args.partners)
        ]
        steps = [1 + int(rng.integers(len(subjects) - 1)) for _ in copies]
        others = [subjects[(index + step) % len(subjects)] for step in steps]
        kinds = [str(kind) for kind in rng.choice(RANDOM_KINDS, len(copies))]
        apart = [partners_of(plain, kind, copy) for kind, copy in zip(kinds, copies, strict=True)]
        boxes = image.box_pixels
        for kind in args.kinds:
            sets = {
                "alike": [partners_of(plain, kind, copy) for copy in copies],
                "apart": apart,
                "random": random_partners(plain, kind, others, len(image.masks), rng),
            }
            logits = coarse_logits(kind, image)
            large = F.interpolate(logits.sigmoid()[:, None], boxes.shape[1:], mode="bilinear")[:, 0]
            results = {"start": (large > 0.5).numpy(), "without": refine(plain, image, logits)}
            for w2, (name, partners) in itertools.product(args.w2, sets.items()):
                term = dict(w2=w2, level=args.level, balanced=not args.unbalanced)
                results[f"{name}, w2 {w2:g}"] = refine_with(kind, subject, partners, **term)
            for name, masks in results.items():
                values = 100 * iou(masks & boxes, image.masks)
                scores.setdefault((kind, name), []).extend(values.tolist())
    show(scores)


def show(scores: dict[tuple[str, str], list[float]]) -> None:
    """Print the mean IoU by kind and method."""
    names = list(dict.fromkeys(name for _, name in scores))
    count = len(next(iter(scores.values())))
    table = Table("start of", *names, title=f"mean IoU of {count} objects")
    for kind in dict.fromkeys(kind for kind, _ in scores):
        table.add_row(kind, *(f"{np.mean(scores[kind, name]):.1f}" for name in names))
    Console().print(table)


if __name__ == "__main__":
    main()
