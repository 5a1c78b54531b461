"""Masks of student and teacher on a training batch, for inspection."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmdet_discobox.models.teachers import paste_regions
from mmdet_discobox.structures import BoxObjects, PseudoLabelImage, TrueMasks

from .task_network import look


@torch.no_grad()
def pseudo_label_images(
    model: Any, data: dict[str, Any], *, limit: int | None = None
) -> list[PseudoLabelImage]:
    """Predict and refine the masks of a batch without a side effect on the model.

    Weights, statistics, gates, bank and random number generators stay as they were.

    Args:
        model: a DiscoBox detector with a structured teacher.
        data: ``inputs`` and ``data_samples`` as a data loader yields them.
        limit: number of images to process, None for all.

    Returns:
        One record per image, on the CPU.
    """
    data = {key: value[:limit] for key, value in data.items()}
    with _eval_mode(model):
        batch = model.data_preprocessor(data, False)
        inputs, samples = batch["inputs"], batch["data_samples"]
        student = look(model, inputs, BoxObjects.from_samples(samples), one_per_object=True)
        pseudo = model.refine(model.teacher_view(student, inputs), inputs)
        truth = model.collect_truth(inputs, samples)
        pixels = model.to_rgb(inputs).round().clamp(0, 255).to(torch.uint8)
    proposals = student.proposals
    logits, predicted = proposals.per_object()
    images = []
    for index, sample in enumerate(samples):
        height, width = sample.img_shape[:2]
        own = proposals.objects.image_inds == index
        student_masks = _resize_to_batch(logits[own], inputs) > 0
        student_masks &= predicted[own, None, None]
        masks = paste_regions(pseudo.masks[own], pseudo.regions[own], (height, width))
        images.append(
            PseudoLabelImage(
                image=pixels[index, :, :height, :width].permute(1, 2, 0).cpu(),
                boxes=proposals.objects.boxes[own].cpu(),
                student=student_masks[:, :height, :width].cpu(),
                teacher=(masks > 0.5).cpu(),
                valid=pseudo.valid[own].cpu(),
                true=_true_masks(truth, own, (height, width)),
            )
        )
    return images


def _true_masks(truth: TrueMasks | None, own: Tensor, size: tuple[int, int]) -> Tensor | None:
    """Return ``(G, H, W)`` true masks of the objects ``own`` of an image, empty for boxes."""
    if truth is None:
        return None
    masks = truth.masks.new_zeros(len(own), *size)
    masks[truth.object_inds] = truth.masks[:, : size[0], : size[1]]
    return masks[own].cpu()


def _resize_to_batch(logits: Tensor, inputs: Tensor) -> Tensor:
    """Resize the logits of one image to the pixels of the padded batch, ``(G, H, W)``."""
    size = inputs.shape[-2:]
    if not len(logits):
        return logits.new_zeros(0, *size)
    return F.interpolate(logits[:, None], size=size, mode="bilinear")[:, 0]


@contextmanager
def _eval_mode(model: nn.Module) -> Iterator[None]:
    """Context manager that sets evaluation mode, and restores mode and random state afterwards."""
    training, device = model.training, next(model.parameters()).device
    model.eval()
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            yield
    finally:
        model.train(training)
