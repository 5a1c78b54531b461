"""The commands of a user, as subprocesses: train, resume, test, and inference on the result."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from tiny import NETWORKS, tiny_solov2, write_boxes

from mmdet_discobox.utils.versions import distribution_of

pytestmark = pytest.mark.slow
MMDET = distribution_of("mmdet")


def mim(*arguments, cwd, fails=False):
    command = [str(Path(sys.executable).with_name("mim")), *map(str, arguments)]
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    run = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=300)
    assert (run.returncode != 0) == fails, run.stdout[-2000:] + run.stderr[-3000:]
    return run.stdout + run.stderr


def user_config(root, *, ann_file="boxes.json", model=tiny_solov2, **dataset):
    """What somebody with a stock mmdet config and a box-only json would write."""
    data = dict(
        type="CocoBoxDataset",
        data_root=str(root),
        ann_file=ann_file,
        data_prefix=dict(img="images/"),
        metainfo=dict(classes=("one", "two", "three")),
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="LoadAnnotations", with_bbox=True),
            dict(type="PackDetInputs"),
        ],
        **dataset,
    )
    test_pipeline = [
        dict(type="LoadImageFromFile"),
        dict(type="Resize", scale=(96, 96), keep_ratio=True),
        dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
        dict(
            type="PackDetInputs",
            meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor"),
        ),
    ]
    test_data = {**data, "type": "CocoDataset", "ann_file": "masks.json", "test_mode": True}
    test_data["pipeline"] = test_pipeline
    loader = dict(batch_size=2, num_workers=0, sampler=dict(type="DefaultSampler", shuffle=False))
    return Config(
        dict(
            custom_imports=dict(imports=["mmdet_discobox"], allow_failed_imports=False),
            default_scope="mmdet",
            model=model(),
            train_dataloader=dict(dataset=data, **loader),
            test_dataloader=dict(dataset=test_data, **loader),
            test_evaluator=dict(
                type="CocoMetric", ann_file=str(root / "masks.json"), metric=["bbox", "segm"]
            ),
            test_cfg=dict(type="TestLoop"),
            train_cfg=dict(type="EpochBasedTrainLoop", max_epochs=2),
            optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.01)),
            custom_hooks=[dict(type="TeacherEMAHook"), dict(type="StructuredTeacherHook")],
            visualizer=dict(type="DetLocalVisualizer"),
        )
    )


@pytest.fixture(scope="module", params=NETWORKS.values(), ids=NETWORKS)
def trained(tmp_path_factory, request):
    folder = tmp_path_factory.mktemp("mim")
    root = write_boxes(folder / "set")
    config = folder / "config.py"
    user_config(root, model=request.param).dump(config)
    mim("train", MMDET, config, "--gpus", 0, "--work-dir", folder / "work", cwd=folder)
    return folder, config, folder / "work" / "epoch_2.pth"


def test_train_leaves_a_checkpoint(trained):
    assert trained[2].is_file()


def test_resume_goes_on(trained):
    folder, config, _ = trained
    output = mim(
        "train", MMDET, config, "--gpus", 0, "--work-dir", folder / "work", "--resume",
        "--cfg-options", "train_cfg.max_epochs=3", cwd=folder,
    )  # fmt: skip
    assert "resumed epoch: 2" in output
    assert (folder / "work" / "epoch_3.pth").is_file()


def test_test_measures_boxes_and_masks(trained):
    folder, config, checkpoint = trained
    mim(
        "test", MMDET, config, "--checkpoint", checkpoint, "--gpus", 0,
        "--work-dir", folder / "test", cwd=folder,
    )  # fmt: skip
    metrics = json.loads(next((folder / "test").glob("*/*.json")).read_text())
    assert {"coco/bbox_mAP", "coco/segm_mAP"} <= set(metrics)


def test_test_time_augmentation_measures_boxes_and_masks(trained):
    folder, config, checkpoint = trained
    mim(
        "test", MMDET, config, "--checkpoint", checkpoint, "--gpus", 0, "--tta",
        "--work-dir", folder / "tta", "--cfg-options", "tta_model.type=InstanceTTAModel",
        cwd=folder,
    )  # fmt: skip
    metrics = json.loads(next((folder / "tta").glob("*/*.json")).read_text())
    assert {"coco/bbox_mAP", "coco/segm_mAP"} <= set(metrics)


def test_inference_apis_read_the_checkpoint(trained):
    from mmdet.apis import DetInferencer, inference_detector, init_detector

    folder, config, checkpoint = trained
    image = str(folder / "set" / "images" / "1.png")
    model = init_detector(str(config), str(checkpoint), device="cpu")
    instances = inference_detector(model, image).pred_instances
    assert len(instances)
    if type(model).__name__ == "DiscoBoxSOLOv2":  # YOLACT has boxes of its own
        mask, box = instances.masks[0].numpy(), instances.bboxes[0].tolist()
        rows, cols = np.nonzero(mask)
        assert box == [cols.min(), rows.min(), cols.max() + 1, rows.max() + 1]

    inferencer = DetInferencer(model=str(config), weights=str(checkpoint), device="cpu")
    result = inferencer(image, out_dir=str(folder / "out"), pred_score_thr=0.0)
    assert np.array(result["predictions"][0]["bboxes"]).shape == (len(instances), 4)
    assert (folder / "out" / "vis" / "1.png").is_file()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (
            lambda coco: coco["annotations"][1].update(bbox=[1, 1, float("nan"), 5]),
            ["annotation", "2"],
        ),
        (lambda coco: coco["annotations"][1].update(bbox=[1, 1, -4, 5]), ["annotation", "2", "-4"]),
        (lambda coco: coco["annotations"][1].update(category_id=9), ["annotation", "2", "9"]),
        (lambda coco: coco["images"][2].update(file_name="gone.png"), ["gone.png"]),
        (lambda coco: coco.pop("annotations"), ["annotations"]),
    ],
    ids=["nan", "negative", "category", "image", "no-coco"],
)
def test_broken_data_ends_in_one_clear_error(tmp_path, spoil, words):
    folder = tmp_path
    write_boxes(folder / "set")
    coco = json.loads((folder / "set" / "boxes.json").read_text())
    spoil(coco)
    broken = folder / "set" / f"{tmp_path.name}.json"
    broken.write_text(json.dumps(coco))
    config = tmp_path / "config.py"
    user_config(folder / "set", ann_file=broken.name).dump(config)
    output = mim(
        "train", MMDET, config, "--gpus", 0, "--work-dir", tmp_path, cwd=folder, fails=True
    )
    assert "Epoch(train)" not in output
    message = re.search(r"^(?:ValueError|FileNotFoundError): .*", output, re.M | re.S)[0]
    for word in [*words, "gone.png" if "gone.png" in words else broken.name]:
        assert word in message, message
