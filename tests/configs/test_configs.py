"""Every shipped config, shrunken, builds, takes a training step and predicts."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from mmdet.registry import DATASETS, HOOKS, MODELS
from mmengine.config import Config
from tiny import batch

CONFIGS = sorted((Path(__file__).parents[2] / "configs" / "discobox").glob("*.py"))


def load(path):
    return Config.fromfile(path)


def shrunken(path):
    """The config's model with few channels and no download, everything else as shipped."""
    model = load(path).model
    if "depth" in model.backbone:
        model.backbone.update(depth=50, base_channels=8, init_cfg=None)
        if "groups" in model.backbone:
            model.backbone.update(groups=2)
        model.neck.update(in_channels=[32, 64, 128, 256])
    else:
        pytest.importorskip("efficientnet_lite_pytorch", reason="the extra [demo] is missing")
        model.backbone.update(pretrained=False)
    norm = dict(type="GN", num_groups=4)
    model.neck.out_channels = 16
    model.mask_head.update(
        in_channels=16, feat_channels=16, num_grids=[6, 5, 4, 3, 2], norm_cfg=norm, num_classes=3
    )
    model.mask_head.mask_feature_head.update(feat_channels=16, out_channels=16, norm_cfg=norm)
    return model


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_config_builds_trains_and_predicts(path):
    torch.manual_seed(0)
    config = shrunken(path)
    model = MODELS.build(config).train()
    data = batch((2, 1))
    if config.type == "SOLOv2":
        pytest.skip("the mask-supervised bound is a stock detector")
    losses = model(**model.data_preprocessor(copy.deepcopy(data), True), mode="loss")
    total = sum(value for key, value in losses.items() if "loss" in key)
    total.backward()
    assert torch.isfinite(total)
    model.eval()
    with torch.no_grad():
        results = model(**model.data_preprocessor(data, False), mode="predict")
    assert len(results) == 2


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_hooks_and_data_fit_the_model(path):
    config = load(path)
    names = {hook["type"] for hook in config.get("custom_hooks") or []}
    for hook in config.get("custom_hooks") or []:
        HOOKS.build(hook)
    assert ("StructuredTeacherHook" in names) == bool(config.model.get("structured_teacher"))
    assert ("TeacherEMAHook" in names) == bool(config.model.get("teacher_network"))
    box_supervised = config.model.type.startswith("DiscoBox")
    dataset = config.train_dataloader.dataset
    loads_masks = any(step.get("with_mask", False) for step in dataset.pipeline)
    assert loads_masks != box_supervised
    assert DATASETS.get(dataset.type).__name__ == (
        "CocoBoxDataset" if box_supervised else "CocoDataset"
    )


def test_the_papers_schedule():
    config = load(CONFIGS[0].parent / "solov2_r50.py")
    warm_up, steps = config.param_scheduler
    assert warm_up.end == 2000
    assert steps.milestones == [26, 32]
    assert config.optim_wrapper.optimizer.lr == 0.01
    assert config.model.teacher_network.momentum == pytest.approx(1 - 0.999)
    assert config.model.loss_consistency.loss_weight == 1
    assert config.model.mask_head.loss_mask == dict(type="BoxMILLoss", form="dice", loss_weight=1.0)
