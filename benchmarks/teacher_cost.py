"""Time the structured teacher as in a training step, with and without matching."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch

from bench_models import fill_bank
from mmdet_discobox.models.teachers import StructuredTeacher
from mmdet_discobox.structures import BoxObjects

#: pixels per cell of the masks that a teacher starts from
STRIDE = 4
#: settings of a teacher with the cross-image term, as the configs for COCO have it
MATCHING: dict[str, Any] = dict(
    cross_image=dict(type="CrossImageTerm", num_classes=80, channels=256)
)


def time_step(teacher: StructuredTeacher, repeats: int = 10) -> float:
    """Median seconds for 14 objects in 2 images of 448 x 640, as in a training step."""
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
    term, features = teacher.cross_image, None
    if term is not None:
        fill_bank(term.bank)
        features = torch.randn(14, *term.bank.features.shape[1:], generator=generator)
    predicted, seconds = torch.ones(14, dtype=torch.bool), []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        teacher(logits, predicted, objects, images, stride=STRIDE, features=features)
        seconds.append(time.perf_counter() - began)
    return float(np.median(seconds[1:]))
