"""Look into a training: what student and teacher say about a batch now."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmdet_discobox.models.teachers import paste_regions
from mmdet_discobox.structures import BoxObjects, PseudoLabelImage

from .task_network import look


@torch.no_grad()
def taught_images(
    model: Any, data: dict[str, Any], *, limit: int | None = None
) -> list[PseudoLabelImage]:
    """Predict and refine the masks of a batch's boxes, and leave the model as it was.

    Neither weights, nor statistics, nor gates, nor any state of the random numbers change.

    Args:
        model: a DiscoBox detector with a structured teacher.
        data: ``inputs`` and ``data_samples`` as a data loader gives them.
        limit: number of pictures to look at, None for all.

    Returns:
        One record for each picture, on the CPU.
    """
    data = {key: value[:limit] for key, value in data.items()}
    with _evaluating(model):
        batch = model.data_preprocessor(data, False)
        inputs, samples = batch["inputs"], batch["data_samples"]
        student = look(model, inputs, BoxObjects.from_samples(samples), one_per_object=True)
        pseudo = model.refine(model.teacher_view(student, inputs), inputs)
        pictures = model.to_rgb(inputs).round().clamp(0, 255).to(torch.uint8)
    proposals = student.proposals
    logits, predicted = proposals.per_object()
    homes = proposals.objects.image_inds
    images = []
    for index, sample in enumerate(samples):
        height, width = sample.img_shape[:2]
        mine = homes == index
        students = _to_pixels(logits[mine], inputs) > 0
        students &= predicted[mine, None, None]
        masks = paste_regions(pseudo.masks[mine], pseudo.regions[mine], (height, width))
        images.append(
            PseudoLabelImage(
                image=pictures[index, :, :height, :width].permute(1, 2, 0).cpu(),
                boxes=proposals.objects.boxes[mine].cpu(),
                student=students[:, :height, :width].cpu(),
                teacher=(masks > 0.5).cpu(),
                valid=pseudo.valid[mine].cpu(),
            )
        )
    return images


def _to_pixels(logits: Tensor, inputs: Tensor) -> Tensor:
    """``(G, H, W)`` logits in pixels of the padded batch."""
    size = inputs.shape[-2:]
    if not len(logits):
        return logits.new_zeros(0, *size)
    return F.interpolate(logits[:, None], size=size, mode="bilinear")[:, 0]


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Stop the running statistics of a model that trains, and give back the random numbers."""
    training, device = model.training, next(model.parameters()).device
    model.eval()
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            yield
    finally:
        model.train(training)
