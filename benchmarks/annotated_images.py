"""Images with human masks, and methods to compare with these, for the benchmarks of masks."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from pycocotools.coco import COCO

from mmdet_discobox.models.teachers import StructuredTeacher, paste_regions
from mmdet_discobox.structures import BoxObjects, MaskProposals, PseudoMasks

#: pixels per cell of the coarse masks
STRIDE = 4
#: exclusive upper bounds of COCO's areas, in pixels of the original image
SIZES = {"small": 32**2, "medium": 96**2, "large": float("inf")}


@dataclass(frozen=True)
class AnnotatedImage:
    """An image, padded to a multiple of 32, and the human masks of its objects.

    Attributes:
        seed: seed of the noise of its coarse masks.
        pixels: ``(H, W, 3)`` RGB.
        masks: ``(G, H, W)`` boolean.
        objects: boxes of the G objects, with ids of categories as labels.
        sizes: keys of :data:`SIZES` of the objects.
    """

    seed: int
    pixels: np.ndarray
    masks: np.ndarray
    objects: BoxObjects
    sizes: list[str]

    @property
    def batch(self) -> torch.Tensor:
        """``(1, 3, H, W)`` RGB."""
        return torch.from_numpy(self.pixels.copy()).permute(2, 0, 1)[None].float()

    @property
    def box_pixels(self) -> np.ndarray:
        """``(G, H, W)`` boolean pixels that each box touches."""
        rows, cols = np.indices(self.masks.shape[1:])
        x1, y1, x2, y2 = self.objects.boxes.numpy().T[:, :, None, None]
        return (cols + 1 > x1) & (cols < x2) & (rows + 1 > y1) & (rows < y2)

    def proposals(self, logits: torch.Tensor) -> MaskProposals:
        """Return ``(G, h, w)`` logits of stride 4 as the proposals of the objects."""
        return MaskProposals(logits, torch.arange(len(logits)), self.objects, STRIDE)

    def paste(self, pseudo: PseudoMasks) -> np.ndarray:
        """Return refined masks as ``(G, H, W)`` boolean pixels."""
        probs = paste_regions(pseudo.masks, pseudo.regions, self.masks.shape[1:])
        return (probs > 0.5).numpy()


def read_images(args: argparse.Namespace) -> Iterator[AnnotatedImage]:
    """Read images in random order until the limit of objects is reached.

    Args:
        args: command line with ``ann_json``, ``img_dir``, ``limit``, ``seed``, ``part``,
            ``long_side`` and ``min_size``.
    """
    coco = COCO(args.ann_json)
    chosen = sorted(coco.imgs)[args.part[0] - 1 :: args.part[1]]
    left = args.limit
    for image_id in np.random.default_rng(args.seed).permutation(chosen).tolist():
        path = Path(args.img_dir) / coco.imgs[image_id]["file_name"]
        pixels = cv2.imread(str(path))
        if pixels is None:
            raise FileNotFoundError(f"Expected an image at {path}, named in {args.ann_json}.")
        scale = min(1.0, args.long_side / max(pixels.shape[:2])) if args.long_side else 1.0
        annotations = [
            a
            for a in coco.imgToAnns[image_id]
            if not a.get("iscrowd") and min(a["bbox"][2:]) * scale >= args.min_size
        ][:left]
        if annotations:
            left -= len(annotations)
            yield _annotated_image(coco, pixels, annotations, scale, args.seed + image_id)
        if left <= 0:
            return


def _annotated_image(
    coco: COCO, pixels: np.ndarray, annotations: list[dict], scale: float, seed: int
) -> AnnotatedImage:
    width, height = (round(scale * side) for side in pixels.shape[1::-1])
    pad = ((0, -height % 32), (0, -width % 32))
    masks = [
        cv2.resize(coco.annToMask(a) * 1.0, (width, height), interpolation=cv2.INTER_AREA)
        for a in annotations
    ]
    pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    boxes = np.float32([a["bbox"] for a in annotations]) * scale
    boxes[:, 2:] += boxes[:, :2]
    zeros = torch.zeros(len(boxes), dtype=torch.long)
    objects = BoxObjects(
        boxes=torch.from_numpy(boxes.clip(0, [width, height] * 2)).float(),
        labels=torch.tensor([a["category_id"] for a in annotations]),
        image_inds=zeros,
        image_sizes=torch.tensor([[height, width]]).float(),
        image_ids=zeros - 1,
    )
    areas = [
        a.get("area", mask.sum() / scale**2) for a, mask in zip(annotations, masks, strict=True)
    ]
    return AnnotatedImage(
        seed=seed,
        pixels=np.pad(pixels[..., ::-1], (*pad, (0, 0))),
        masks=np.pad(np.stack(masks) > 0.5, ((0, 0), *pad)),
        objects=objects,
        sizes=[next(name for name, end in SIZES.items() if area < end) for area in areas],
    )


def refine(teacher: StructuredTeacher, image: AnnotatedImage, logits: torch.Tensor) -> np.ndarray:
    """Refine coarse masks by a teacher into ``(G, H, W)`` boolean pixels."""
    return image.paste(teacher(image.proposals(logits), image.batch))


def grabcut(pixels: np.ndarray, start: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Run 5 iterations of GrabCut from a mask, on the box and a margin of half its side."""
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
    if start[window].all():  # no background to learn from
        return start
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(0)
    crop = np.ascontiguousarray(pixels[window][..., ::-1])
    cv2.grabCut(crop, labels, None, *models, 5, cv2.GC_INIT_WITH_MASK)
    result = np.zeros_like(box)
    result[window] = (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)
    return result & box


def iou(masks: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Compute the ``(G,)`` IoU of masks with the human ones."""
    union = (masks | truth).sum((1, 2))
    return (masks & truth).sum((1, 2)) / np.maximum(union, 1)
