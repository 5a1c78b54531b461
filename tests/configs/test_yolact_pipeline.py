"""The augmentation of YOLACT++ (appendix C.1) on boxes alone."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.registry import DATASETS
from mmengine.config import Config
from tiny import write_boxes

from mmdet_discobox.functional import box_masks

CONFIG = Path(__file__).parents[2] / "configs" / "discobox" / "yolact_r50_dcn.py"


@pytest.fixture
def dataset(tmp_path):
    root = write_boxes(tmp_path / "set", num_images=3)
    return DATASETS.build(
        dict(
            type="CocoBoxDataset",
            data_root=str(root),
            ann_file="boxes.json",
            data_prefix=dict(img="images/"),
            metainfo=dict(classes=("one", "two", "three")),
            pipeline=Config.fromfile(CONFIG).train_dataloader.dataset.pipeline,
        )
    )


def test_boxes_follow_the_picture(dataset):
    """The boxes of these images are brighter than what is around them, and stay so."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - the transforms draw from it
    shapes, brighter = set(), []
    for index in [1, 2] * 10:
        sample = dataset[index]
        image, truth = sample["inputs"].float().mean(0), sample["data_samples"].gt_instances
        assert max(image.shape) == 550
        assert sample["data_samples"].img_shape == image.shape
        assert "masks" not in truth
        shapes.add(tuple(image.shape))
        boxes = truth.bboxes.tensor
        height, width = image.shape
        assert (boxes >= 0).all()
        assert (boxes <= torch.tensor([width, height, width, height])).all()
        inside = box_masks(boxes, (height, width)).any(0)
        if not inside.all():
            brighter.append(bool(image[inside].mean() > image[~inside].mean() + 10))
    assert len(shapes) > 5
    assert np.mean(brighter) > 0.8


def test_crops_are_noted(dataset):
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - the transforms draw from it
    cut = torch.cat([dataset[1 + n % 2]["data_samples"].gt_instances.cut_sides for n in range(80)])
    assert cut.any(0).sum() > 2
    assert 0.02 < cut.float().mean() < 0.3


def test_a_picture_without_objects_passes(dataset):
    sample = dataset[0]
    assert sample["data_samples"].gt_instances.cut_sides.shape == (0, 4)
    assert len(sample["data_samples"].gt_instances) == 0
    assert max(sample["inputs"].shape[1:]) == 550


def test_the_surroundings_are_the_mean_that_padding_becomes():
    config = Config.fromfile(CONFIG)
    pipeline, padding = config.train_dataloader.dataset.pipeline, config.model.data_preprocessor
    expand = next(step for step in pipeline if step.type == "Expand")
    assert expand.mean == padding.mean
    assert expand.to_rgb == padding.bgr_to_rgb
    assert padding.get("pad_value", 0) == 0
    assert padding.pad_size_divisor == 550
