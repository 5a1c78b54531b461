"""Tiny networks as ONNX files."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from tiny import build

PIPELINE = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=(96, 96), keep_ratio=True),
    dict(type="PackDetInputs", meta_keys=("img_path", "ori_shape", "img_shape", "scale_factor")),
]
CLASSES = ("one", "two", "three")


def tiny_model(model: Any) -> Any:
    """Build a network as `build_detector` does, with outputs that differ between places."""
    init_default_scope("mmdet")
    built = build(model).eval()
    with torch.no_grad():
        for name, parameter in built.named_parameters():
            if name.split(".")[-2].startswith(("conv_", "controller", "rtm_", "retina_")):
                parameter.add_(torch.randn_like(parameter) * 0.1)
    built.cfg = Config(dict(model=model, test_dataloader=dict(dataset=dict(pipeline=PIPELINE))))
    built.dataset_meta = dict(classes=CLASSES)
    return built
