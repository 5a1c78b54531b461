"""A tiny detector that matches, and images whose correspondence is known."""

from __future__ import annotations

import cv2
import numpy as np
from mmengine.config import Config
from mmengine.registry import init_default_scope
from tiny import build

from mmdet_discobox.apis import CorrespondenceInferencer

PIPELINE = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=(96, 96), keep_ratio=True),
    dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
    dict(type="PackDetInputs", meta_keys=("img_id", "ori_shape", "img_shape", "scale_factor")),
]


def config_of(model):
    """What a user's config says of a model."""
    dataset = dict(
        type="CocoDataset", pipeline=PIPELINE, metainfo=dict(classes=("one", "two", "three"))
    )
    return Config(dict(default_scope="mmdet", model=model, test_dataloader=dict(dataset=dataset)))


def inferencer_of(model, **settings):
    """An inferencer of a network with random weights, on fine features that tell places apart."""
    init_default_scope("mmdet")
    detector = build(model).eval()
    detector.cfg = config_of(model)
    settings = {**dict(features=("backbone", 0), size=8, score_thr=0.0), **settings}
    return CorrespondenceInferencer(detector, **settings)


def texture(seed=0, size=96):
    """A smooth random image, BGR: no two places look alike."""
    noise = np.random.default_rng(seed).uniform(0, 255, (size // 6, size // 6, 3))
    image = cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC)
    return image.clip(0, 255).astype(np.uint8)


def shifted(image, x, y):
    """The image moved, its border filled with what was there before."""
    return np.roll(image, (y, x), (0, 1))
