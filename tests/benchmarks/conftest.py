"""Fixtures of the benchmarks' tests: data scripts, an image of a disc, tiny configs."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from tiny import tiny_solov2

SCRIPTS = Path(__file__).parents[2] / "benchmarks" / "data"
MODULES = ("coco_files", "records", "subsets", "build")


@pytest.fixture(scope="module")
def data_scripts():
    """Import them by name, as the command does, and forget them afterwards."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SCRIPTS))
        yield {name: importlib.import_module(name) for name in MODULES}
        for name in MODULES:
            sys.modules.pop(name, None)


@pytest.fixture
def dataset(tmp_path):
    rng = np.random.default_rng(0)
    image = np.full((160, 200, 3), (60, 140, 70), np.uint8)
    cv2.circle(image, (90, 80), 40, (50, 60, 200), -1)
    image = (image + rng.normal(0, 5, image.shape)).clip(0, 255).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "disc.png"), image)
    angles = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    outline = np.stack([90.5 + 40 * np.cos(angles), 80.5 + 40 * np.sin(angles)], 1)
    base = dict(image_id=1, category_id=1, area=5026.0, iscrowd=0)
    annotations = [
        dict(base, id=1, bbox=[50, 40, 81, 81], segmentation=[outline.ravel().tolist()]),
        dict(base, id=2, bbox=[5, 5, 6, 6], segmentation=[[5, 5, 11, 5, 11, 11, 5, 11]]),
        dict(base, id=3, iscrowd=1, bbox=[0, 0, 60, 60],
             segmentation=dict(size=[160, 200], counts=[0, 32000])),
    ]  # fmt: skip
    images = [dict(id=1, file_name="disc.png", height=160, width=200)]
    content = dict(images=images, annotations=annotations, categories=[dict(id=1, name="disc")])
    path = tmp_path / "masks.json"
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def tiny_config():
    return write_tiny_config


def write_tiny_config(root, path, *, box_supervised, mixed=False):
    """Write the config of a SOLOv2 on the images of `write_boxes`."""
    model = dict(true_masks=True) if mixed else {}
    load_masks = [dict(type="LoadTrueMasks")] if mixed else []
    data = dict(
        type="CocoBoxDataset" if box_supervised else "CocoDataset",
        data_root=str(root),
        ann_file="boxes.json" if box_supervised else "masks.json",
        data_prefix=dict(img="images/"),
        metainfo=dict(classes=("one", "two", "three")),
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="LoadAnnotations", with_bbox=True, with_mask=not box_supervised),
            *load_masks,
            dict(type="PackDetInputs"),
        ],
        **(dict(use_masks=True) if mixed else {}),
    )
    keys = ("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")
    pipeline = [
        dict(type="LoadImageFromFile"),
        dict(type="Resize", scale=(96, 96), keep_ratio=True),
        dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
        dict(type="PackDetInputs", meta_keys=keys),
    ]
    test_data = {**data, "type": "CocoDataset", "ann_file": "masks.json", "test_mode": True}
    test_data.pop("use_masks", None)
    loader = dict(batch_size=2, num_workers=0, sampler=dict(type="DefaultSampler", shuffle=False))
    hooks = [dict(type="TeacherEMAHook"), dict(type="StructuredTeacherHook")]
    truth = str(root / "masks.json")
    Config(
        dict(
            custom_imports=dict(imports=["mmdet_discobox"], allow_failed_imports=False),
            default_scope="mmdet",
            default_hooks=dict(checkpoint=dict(type="CheckpointHook", interval=1)),
            model={**tiny_solov2(box_supervised=box_supervised), **model},
            train_dataloader=dict(dataset=data, **loader),
            test_dataloader=dict(dataset={**test_data, "pipeline": pipeline}, **loader),
            test_evaluator=dict(type="CocoMetric", ann_file=truth, metric=["bbox", "segm"]),
            test_cfg=dict(type="TestLoop"),
            train_cfg=dict(type="EpochBasedTrainLoop", max_epochs=2),
            optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.01)),
            custom_hooks=hooks if box_supervised else [],
            visualizer=dict(type="DetLocalVisualizer"),
        )
    ).dump(path)
    return path
