"""Random batches for the benchmarks of the training step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData


@dataclass(frozen=True)
class Workload:
    """The size of a training step.

    Attributes:
        size: ``(height, width)`` in pixels.
        images: images per batch.
        objects: objects per image.
        classes: number of classes; None keeps the config's, and all objects are of the first.
    """

    size: tuple[int, int]
    images: int
    objects: int
    classes: int | None = None


def random_batch(work: Workload, seed: int) -> dict[str, Any]:
    """Return a batch as a loader does, with boxes, and elliptic masks for the stock detector.

    Args:
        work: size of the batch.
        seed: seed; equal seeds give equal batches.
    """
    rng = np.random.default_rng(seed)
    images = [_image(work, rng) for _ in range(work.images)]
    inputs, samples = zip(*images, strict=True)
    return dict(inputs=list(inputs), data_samples=list(samples))


def _image(work: Workload, rng: np.random.Generator) -> tuple[torch.Tensor, DetDataSample]:
    height, width = work.size
    frame = np.array([width, height])
    sides = np.exp(rng.uniform(np.log(0.1), np.log(0.6), (work.objects, 2))) * frame
    corners = rng.uniform(0, 1, (work.objects, 2)) * (frame - sides)
    boxes = np.concatenate([corners, corners + sides], 1)
    sample = DetDataSample(
        metainfo=dict(img_shape=work.size, ori_shape=work.size, scale_factor=(1.0, 1.0))
    )
    sample.gt_instances = InstanceData(
        bboxes=torch.as_tensor(boxes, dtype=torch.float32),
        labels=torch.as_tensor(rng.integers(0, work.classes or 1, work.objects)),
        masks=BitmapMasks(_ellipses(boxes, work.size), height, width),
    )
    sample.ignored_instances = InstanceData(
        bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long)
    )
    return _colours(work.size, rng), sample


def _colours(size: tuple[int, int], rng: np.random.Generator) -> torch.Tensor:
    """Return smooth colours with grain: as in photographs, most differences are small."""
    coarse = torch.from_numpy(rng.uniform(0, 255, (1, 3, 8, 8)))
    smooth = F.interpolate(coarse, size, mode="bicubic")[0]
    grain = torch.from_numpy(rng.normal(0, 8, (3, *size)))
    return (smooth + grain).clamp(0, 255).to(torch.uint8)


def _ellipses(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    rows, cols = (np.arange(length) + 0.5 for length in size)
    masks = np.empty((len(boxes), *size), np.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes, strict=True):
        across, down = (2 * cols - x1 - x2) / (x2 - x1), (2 * rows - y1 - y2) / (y2 - y1)
        mask[:] = across**2 + down[:, None] ** 2 <= 1
    return masks
