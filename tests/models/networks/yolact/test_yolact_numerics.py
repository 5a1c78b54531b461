"""YOLACT far from its initialisation: losses and gradients stay finite."""

from __future__ import annotations

import pytest
import torch
from tiny import batch, build, losses_of, tiny_semantic_yolact

#: one pixel, less than a pixel, past the border, the whole image, without area
BOXES = torch.tensor(
    [
        [10.0, 10.0, 11.0, 11.0],
        [50.0, 50.0, 50.5, 50.5],
        [-20.0, -20.0, 40.0, 30.0],
        [0.0, 0.0, 96.0, 96.0],
        [30.0, 30.0, 30.0, 60.0],
    ]
)
COUNTS = {"odd": (5, 3), "one image empty": (5, 0), "empty": (0, 0)}


def extreme(scale):
    """A detector whose class scores, boxes, mask coefficients and prototypes are enlarged."""
    detector = build(tiny_semantic_yolact())
    head, protonet = detector.bbox_head, detector.mask_head.protonet
    convolutions = [layer for layer in protonet if isinstance(layer, torch.nn.Conv2d)]
    layers = (head.conv_cls, head.conv_reg, head.conv_coeff, convolutions[-1])
    with torch.no_grad():
        for layer in (*layers, detector.mask_head.segm_branch.segm_conv):
            layer.weight *= scale
        convolutions[-1].bias += scale  # prototypes end in a ReLU: none is closed everywhere
    return detector


def odd_batch(kind):
    data = batch(COUNTS[kind])
    if kind != "empty":
        data["data_samples"][0].gt_instances.bboxes = BOXES.clone()
    return data


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("is_open", [False, True])
@pytest.mark.parametrize("kind", COUNTS)
@pytest.mark.parametrize("scale", [100, 10_000])
def test_losses_and_gradients_are_finite(scale, kind, is_open, precision):
    detector = extreme(scale)
    losses_of(detector, batch())  # fills the bank
    detector.structured_teacher.consistency_gate.set(is_open)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
        losses = losses_of(detector, odd_batch(kind))
    for key, value in losses.items():
        assert torch.isfinite(value), key
    sum(value for key, value in losses.items() if "loss" in key).backward()
    for name, parameter in detector.named_parameters():
        assert parameter.grad is None or torch.isfinite(parameter.grad).all(), name
