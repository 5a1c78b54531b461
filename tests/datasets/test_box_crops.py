from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmdet.registry import DATASETS
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks
from tiny import write_boxes

from mmdet_discobox.datasets import CropBox
from mmdet_discobox.datasets.box_crops import crop_window, warp_window

PIPELINE = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="CropBox", size=32, margin=(0.1, 0.4)),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackDetInputs"),
]


def crops(root, **changes):
    boxes = dict(
        type="CocoBoxDataset",
        data_root=str(root),
        ann_file="boxes.json",
        data_prefix=dict(img="images/"),
        metainfo=dict(classes=("one", "two", "three")),
    )
    return DATASETS.build(dict(type="BoxCropDataset", dataset=boxes, pipeline=PIPELINE, **changes))


def test_every_box_is_a_sample(tmp_path):
    dataset = crops(write_boxes(tmp_path))
    assert len(dataset) == 6
    assert dataset.metainfo["classes"] == ("one", "two", "three")
    for index in range(len(dataset)):
        sample = dataset[index]
        assert sample["inputs"].shape == (3, 32, 32)
        (box,) = sample["data_samples"].gt_instances.bboxes.tensor.tolist()
        # a margin of 0.1 to 0.4 on every side leaves 1 / 1.8 to 1 / 1.2 of the crop
        assert 32 / 1.95 < box[2] - box[0] < 32 / 1.15
    assert [dataset.get_cat_ids(index) for index in range(3)] == [[0], [1], [2]]


def test_the_box_stays_on_its_object(tmp_path):
    rng = np.random.default_rng(0)
    for _ in range(20):
        image = np.zeros((80, 120, 3), np.uint8)
        x, y, w, h = (int(v) for v in (*rng.integers(0, 40, 2), *rng.integers(3, 40, 2)))
        image[y : y + h, x : x + w] = 255
        results = CropBox(size=64, margin=(0.1, 0.5)).transform(
            dict(
                img=image,
                gt_bboxes=HorizontalBoxes(np.array([[x, y, x + w, y + h]], np.float32)),
                gt_masks=BitmapMasks((image[None, ..., 0] > 0).astype(np.uint8), 80, 120),
            )
        )
        box = results["gt_bboxes"].numpy()[0]
        for found in (results["img"][..., 0] > 127, results["gt_masks"].masks[0] > 0):
            rows, cols = np.nonzero(found)
            around = [cols.min(), rows.min(), cols.max() + 1, rows.max() + 1]
            assert np.abs(box - around).max() <= 1


sides = st.floats(0.5, 60)


@given(st.floats(-20, 100), st.floats(-20, 60), sides, sides, st.floats(0, 0.5))
def test_a_window_holds_the_box_and_its_margins(x, y, w, h, margin):
    x1, y1, x2, y2 = crop_window(np.array([x, y, x + w, y + h]), np.full(4, margin))
    assert x1 <= x - margin * w
    assert x + w + margin * w <= x2
    assert x - margin * w - x1 < 1 + 1e-9
    assert x2 - (x + w + margin * w) < 1 + 1e-9
    assert y1 <= y - margin * h
    assert y + h + margin * h <= y2


def test_a_window_past_the_image_is_black_there():
    image = np.full((10, 10, 3), 200, np.uint8)
    found = warp_window(image, np.array([-10, -5, 10, 5]), 20)
    assert (found[:9] == 0).all()
    assert (found[:, :9] == 0).all()
    assert (found[11:, 11:] == 200).all()
    assert not warp_window(image, np.array([30, 30, 40, 40]), 20).any()


def test_a_box_past_the_image_ends_at_its_border():
    image = np.full((100, 200, 3), 200, np.uint8)
    box = HorizontalBoxes(np.array([[-60, 20, 60, 130]], np.float32))
    results = CropBox(size=96, margin=(0.2, 0.2))(dict(img=image, gt_bboxes=box))
    x1, y1, x2, y2 = results["gt_bboxes"].numpy()[0].round().astype(int)
    assert (results["img"][y1 + 1 : y2 - 1, x1 + 1 : x2 - 1] == 200).all()
    assert (results["img"][y2 + 1 :] == 0).all()
    assert (results["img"][:, : x1 - 1] == 0).all()


def test_shrinking_averages():
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    small = warp_window(noise, np.array([0, 0, 256, 256]), 16)
    expected = noise.reshape(16, 16, 16, 16, 3).mean((1, 3))
    assert np.abs(small - expected).max() <= 1
    wide = warp_window(noise[:8], np.array([0, 0, 256, 8]), 16)  # shrinks in x, grows in y
    rows = cv2.resize(noise[:8].reshape(8, 16, 16, 3).mean(2), (16, 16))
    assert np.abs(wide - rows).max() <= 2


def test_crowds_are_no_samples_and_none_is_an_error(tmp_path):
    root = write_boxes(tmp_path)
    path = root / "boxes.json"
    coco = json.loads(path.read_text())
    coco["annotations"][0]["iscrowd"] = 1
    path.write_text(json.dumps(coco))
    assert len(crops(root)) == 5
    for annotation in coco["annotations"]:
        annotation["iscrowd"] = 1
    path.write_text(json.dumps(coco))
    with pytest.raises(
        ValueError, match="boxes to train on in .*none of its 6 is left: 6 have `iscr"
    ):
        crops(root)


def test_wrong_settings():
    with pytest.raises(ValueError, match="Expected `size` of at least 1"):
        CropBox(size=0)
    with pytest.raises(ValueError, match=r"but got 8 and \(0.4, 0.1\)"):
        CropBox(size=8, margin=(0.4, 0.1))
    boxes = HorizontalBoxes(np.zeros((2, 4), np.float32))
    with pytest.raises(ValueError, match="Expected one box per sample but got 2"):
        CropBox().transform(dict(img=np.zeros((4, 4, 3), np.uint8), gt_bboxes=boxes))
