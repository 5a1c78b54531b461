"""The hook that shows pseudo-labels: it writes to the backends, and leaves the training alone."""

from __future__ import annotations

import cv2
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from tiny import tiny_solov2, write_boxes

from mmdet_discobox.engine.hooks import PseudoLabelVisualizationHook

EMA = dict(type="TeacherEMAHook")
HOOK = dict(type="PseudoLabelVisualizationHook", interval=2, max_images=2)


def run(root, work_dir, *hooks, model=None):
    config = dict(
        default_scope="mmdet",
        model=model or tiny_solov2(),
        work_dir=str(work_dir),
        train_dataloader=dict(
            batch_size=2,
            num_workers=0,
            sampler=dict(type="InfiniteSampler", shuffle=True),
            dataset=dict(
                type="CocoBoxDataset",
                data_root=str(root),
                ann_file="boxes.json",
                data_prefix=dict(img="images/"),
                metainfo=dict(classes=("one", "two", "three")),
                pipeline=[
                    dict(type="LoadImageFromFile"),
                    dict(type="LoadAnnotations", with_bbox=True),
                    dict(type="RandomFlip", prob=0.5),
                    dict(type="PackDetInputs"),
                ],
            ),
        ),
        train_cfg=dict(type="IterBasedTrainLoop", max_iters=4),
        optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.01)),
        custom_hooks=list(hooks),
        randomness=dict(seed=0, deterministic=True),
        visualizer=dict(
            type="DetLocalVisualizer",
            vis_backends=[dict(type="LocalVisBackend")],
            name=str(work_dir),
        ),
        experiment_name=str(work_dir).replace("/", "_"),
    )
    runner = Runner.from_cfg(Config(config))
    runner.train()
    return runner.model.state_dict()


def test_drawings_are_written_and_the_weights_are_the_same(tmp_path):
    root = write_boxes(tmp_path / "set")
    without = run(root, tmp_path / "without", EMA)
    weights = run(root, tmp_path / "with", EMA, HOOK)
    for key, value in without.items():
        assert torch.equal(weights[key], value), key
    drawings = sorted((tmp_path / "with").glob("*/vis_data/vis_image/*.png"))
    assert [path.name for path in drawings] == [
        "pseudo_labels_0_2.png",
        "pseudo_labels_0_4.png",
        "pseudo_labels_1_2.png",
        "pseudo_labels_1_4.png",
    ]
    assert cv2.imread(str(drawings[0])).shape == (96, 3 * 96, 3)


def test_a_model_without_a_teacher_is_refused(tmp_path):
    root = write_boxes(tmp_path / "set")
    model = tiny_solov2(structured_teacher=None, teacher_network=None)
    with pytest.raises(TypeError, match="`structured_teacher` but got DiscoBoxSOLOv2 without one"):
        run(root, tmp_path / "work", HOOK, model=model)


@pytest.mark.parametrize("setting", ["interval", "max_images"])
def test_settings_are_positive(setting):
    with pytest.raises(ValueError, match=f"`{setting}` to be at least 1 but got 0"):
        PseudoLabelVisualizationHook(**{setting: 0})
