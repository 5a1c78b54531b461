"""Large images put together from photographs, and the AP of predictions on them."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import save_checkpoint
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from tiny import build, tiny_solov2, write_boxes

import bench_tiles
from large_canvases import build_canvases


@pytest.fixture
def photographs(tmp_path):
    """Five images of 96 x 96 pixels with two rectangles of three classes each."""
    return write_boxes(tmp_path / "set", num_images=5, empty=0)


def canvases(root, classes=("one", "two", "three"), size=(200, 100)):
    return list(build_canvases(COCO(str(root / "masks.json")), root / "images", classes, size=size))


def test_photographs_stand_side_by_side_with_their_masks(photographs):
    built = canvases(photographs, size=(200, 200))
    assert [len(canvas.annotations) for canvas in built] == [8, 2]
    first = cv2.imread(str(photographs / "images" / "3.png"))
    assert np.array_equal(built[0].pixels[96:192, 96:192], first)
    assert (built[0].pixels[:, 192:] == 114).all()
    truth = json.loads((photographs / "masks.json").read_text())["annotations"]
    for moved, original in zip(built[0].annotations[6:], truth[6:8], strict=True):
        x, y, w, h = original["bbox"]
        assert moved["bbox"] == [x + 96, y + 96, w, h]
        mask = coco_mask.decode(moved["segmentation"])
        rows, cols = np.nonzero(mask)
        assert (cols.min(), rows.min()) == (x + 96, y + 96)
        assert mask.sum() == min(w, 96 - x) * min(h, 96 - y)
        assert moved["category_id"] == original["category_id"] - 1


def test_objects_of_other_classes_are_left_out(photographs):
    kept = canvases(photographs, classes=("two",), size=(480, 96))[0].annotations
    truth = json.loads((photographs / "masks.json").read_text())["annotations"]
    assert len(kept) == sum(annotation["category_id"] == 2 for annotation in truth)
    assert {annotation["category_id"] for annotation in kept} == {0}


def test_average_precision_of_the_truth_and_of_half_of_it(photographs):
    built = canvases(photographs, size=(480, 96))
    truth = [
        dict(segmentation=a["segmentation"], score=0.9, category_id=a["category_id"])
        for a in built[0].annotations
    ]
    assert bench_tiles.average_precision(built, [truth])["all"] == pytest.approx(100)
    assert bench_tiles.average_precision(built, [[]])["all"] == 0
    only = [a for a in truth if a["category_id"] == 0]
    score = bench_tiles.average_precision(built, [only])["all"]
    assert score == pytest.approx(100 / 3)  # one of three classes


@pytest.fixture
def network(photographs, tmp_path):
    init_default_scope("mmdet")
    pipeline = [
        dict(type="LoadImageFromFile"),
        dict(type="Resize", scale=(96, 96), keep_ratio=True),
        dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
        dict(type="PackDetInputs", meta_keys=("img_id", "ori_shape", "img_shape", "scale_factor")),
    ]
    dataset = dict(
        type="CocoDataset",
        ann_file=str(photographs / "masks.json"),
        data_prefix=dict(img=str(photographs / "images")),
        metainfo=dict(classes=("one", "two", "three")),
        pipeline=pipeline,
    )
    Config(
        dict(
            custom_imports=dict(imports=["mmdet_discobox"], allow_failed_imports=False),
            default_scope="mmdet",
            model=tiny_solov2(),
            train_dataloader=dict(dataset=dataset),
            test_dataloader=dict(dataset=dataset),
            test_evaluator=dict(type="CocoMetric"),
            visualizer=dict(type="DetLocalVisualizer"),
        )
    ).dump(tmp_path / "config.py")
    model = build(tiny_solov2())
    meta = dict(dataset_meta=dict(classes=("one", "two", "three")))
    save_checkpoint(dict(state_dict=model.state_dict(), meta=meta), str(tmp_path / "tiny.pth"))
    return tmp_path / "config.py", tmp_path / "tiny.pth"


def test_whole_images_are_resized_to_the_longest_side(photographs, network, monkeypatch):
    sizes = []
    predict = bench_tiles.whole(Config.fromfile(network[0]), network[1], 160)
    monkeypatch.setattr(
        "mmdet_discobox.models.networks.solov2.DiscoBoxSOLOv2.extract_feat",
        lambda self, images: sizes.append(images.shape) or self.neck(self.backbone(images)),
    )
    found = predict(canvases(photographs, size=(400, 100))[0].pixels)
    assert sizes == [torch.Size([1, 3, 64, 160])]  # padded to a multiple of 32
    assert all(p["segmentation"]["size"] == [100, 400] for p in found)
    assert found


@pytest.mark.slow
def test_the_command(photographs, network, capsys):
    pytest.importorskip("sahi", reason="sahi is not installed")
    options = dict(width=192, height=96, scales=96, tile=96, limit=1)
    options |= {"tile-scale": 96, "score-thr": 0.0}
    arguments = [photographs / "masks.json", photographs / "images", *network]
    arguments += [text for key, value in options.items() for text in (f"--{key}", value)]
    bench_tiles.main([str(argument) for argument in arguments])
    lines = capsys.readouterr().out.splitlines()
    rows = [line for line in lines if "whole, 96" in line or "tiles" in line]
    assert len(rows) == 3
