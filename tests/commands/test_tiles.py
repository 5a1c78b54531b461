"""The recipe of `docs/large_images.md`: tiles of a large image, by SAHI."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmdet.apis import DetInferencer
from mmengine.config import Config
from mmengine.runner import save_checkpoint
from pycocotools import mask as coco_mask
from tiny import NETWORKS, build, write_boxes

PAGE = Path(__file__).parents[2] / "docs" / "large_images.md"


def recipe():
    """The second block of code: the prediction."""
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    (block,) = (block for block in blocks if "sahi" in block)
    return block


@pytest.fixture(params=NETWORKS.values(), ids=NETWORKS)
def network(request, tmp_path):
    """A network whose config trains from boxes, and an image of two tiles side by side."""
    root = write_boxes(tmp_path / "set", num_images=2, empty=0)
    images = [cv2.imread(str(root / "images" / f"{index}.png")) for index in range(2)]
    cv2.imwrite(str(tmp_path / "large.png"), np.concatenate(images, 1))
    dataset = dict(
        type="CocoBoxDataset",
        ann_file=str(root / "boxes.json"),
        metainfo=dict(classes=("one", "two", "three")),
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="LoadAnnotations", with_bbox=True),
            dict(type="PackDetInputs"),
        ],
    )
    test_pipeline = [
        dict(type="LoadImageFromFile"),
        dict(type="Resize", scale=(320, 320), keep_ratio=True),
        dict(type="PackDetInputs", meta_keys=("ori_shape", "img_shape", "scale_factor")),
    ]
    config = Config(
        dict(
            custom_imports=dict(imports=["mmdet_discobox"], allow_failed_imports=False),
            default_scope="mmdet",
            model=request.param(),
            train_dataloader=dict(dataset=dataset),
            test_dataloader=dict(dataset={**dataset, "pipeline": test_pipeline}),
            test_evaluator=dict(type="CocoMetric"),
            visualizer=dict(type="DetLocalVisualizer"),
        )
    )
    config.dump(tmp_path / "config.py")
    meta = dict(dataset_meta=dict(classes=("one", "two", "three")))
    state = build(config.model).state_dict()
    save_checkpoint(dict(state_dict=state, meta=meta), str(tmp_path / "tiny.pth"))
    return tmp_path


@pytest.mark.slow
def test_tiles_have_the_masks_of_the_parts_of_the_image(network):
    pytest.importorskip("sahi", reason="sahi is not installed")
    code = recipe()
    for text, other in (
        ("configs/apples.py", str(network / "config.py")),
        ("work_dirs/apples/epoch_12.pth", str(network / "tiny.pth")),
        ("large.jpg", str(network / "large.png")),
        ('"cuda"', '"cpu"'),
        ("=640", "=96"),
        ("confidence_threshold=0.3", "confidence_threshold=0.0"),
        ("ratio=0.2", "ratio=0.0"),
        ("perform_standard_pred=True", "perform_standard_pred=False"),
        ('"out"', repr(str(network / "out"))),
    ):
        assert text in code
        code = code.replace(text, other)
    names: dict = {}
    exec(code, names)
    found = names["annotations"]
    assert list((network / "out").iterdir())
    right = [p for p in found if p["bbox"][0] >= 96]
    assert right
    assert len(right) < len(found)
    crop = cv2.imread(str(network / "large.png"))[:, 96:]
    config = Config.fromfile(network / "config.py")
    config.test_dataloader.dataset.pipeline[1].scale = (96, 96)
    inferencer = DetInferencer(config, str(network / "tiny.pth"), device="cpu")
    alone = inferencer(crop, no_save_vis=True)["predictions"][0]
    areas = {
        (label, round(score, 4)): int(coco_mask.area(mask))
        for label, score, mask in zip(alone["labels"], alone["scores"], alone["masks"], strict=True)
    }
    for prediction in right:  # merging leaves out some, and polygons round
        parts = coco_mask.frPyObjects(prediction["segmentation"], 96, 192)
        area = int(coco_mask.area(coco_mask.merge(parts)))
        truth = areas[prediction["category_id"], round(prediction["score"], 4)]
        assert area == pytest.approx(truth, rel=0.3, abs=60)
