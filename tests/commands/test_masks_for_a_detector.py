"""The commands of a user who has a detector of boxes and wants masks."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import torch
from mmdet.apis import DetInferencer
from mmengine.registry import init_default_scope
from mmengine.runner import save_checkpoint
from pycocotools import mask as mask_utils
from test_mim import MMDET, mim, user_config
from tiny import write_boxes
from tiny_detectors import DETECTORS, build_detector, tiny_faster_rcnn

pytestmark = pytest.mark.slow
CLASSES = ("one", "two", "three")


@pytest.fixture(scope="module", params=DETECTORS.values(), ids=DETECTORS)
def detector(tmp_path_factory, request):
    """Folder, config with masks, and the checkpoint of the detector without them."""
    init_default_scope("mmdet")
    torch.manual_seed(0)  # other weights may detect nothing
    folder = tmp_path_factory.mktemp("detector")
    config = user_config(write_boxes(folder / "set"), model=request.param)
    meta = dict(dataset_meta=dict(classes=CLASSES))
    state = build_detector(copy.deepcopy(config.model)).state_dict()  # DINO changes its config
    save_checkpoint(dict(state_dict=state, meta=meta), str(folder / "detector.pth"))
    config.custom_hooks = []
    config.default_hooks = dict(visualization=dict(type="DetVisualizationHook"))
    config.visualizer.vis_backends = [dict(type="LocalVisBackend")]
    config.dump(folder / "detector.py")
    (folder / "masks.py").write_text(
        """_base_ = "./detector.py"
custom_imports = dict(imports=["mmdet_discobox"], allow_failed_imports=False)
model = dict(
    _delete_=True,
    type="MasksFromBoxes",
    detector=_base_.model,
    labeler="colours",
    min_score=0.0,
)
"""
    )
    return folder, folder / "masks.py", folder / "detector.pth"


def test_test_measures_and_draws_masks(detector):
    folder, config, checkpoint = detector
    output = mim(
        "test", MMDET, config, "--checkpoint", checkpoint, "--gpus", 0,
        "--work-dir", folder / "test", "--show-dir", "drawn", cwd=folder,
    )  # fmt: skip
    assert "missing keys" not in output
    assert "unexpected key" not in output
    metrics = json.loads(next((folder / "test").glob("*/*.json")).read_text())
    assert {"coco/bbox_mAP", "coco/segm_mAP"} <= set(metrics)
    assert list((folder / "test").glob("*/drawn/*.png"))


def test_the_inferencer_returns_masks(detector):
    folder, config, checkpoint = detector
    image = str(folder / "set" / "images" / "1.png")
    inferencer = DetInferencer(model=str(config), weights=str(checkpoint), device="cpu")
    result = inferencer(image, out_dir=str(folder / "out"), pred_score_thr=0.0)["predictions"][0]
    plain = DetInferencer(str(folder / "detector.py"), str(checkpoint), device="cpu")
    expected = plain(image)["predictions"][0]
    assert np.allclose(result["bboxes"], expected["bboxes"])
    assert result["labels"] == expected["labels"]
    masks = [mask_utils.decode(mask) for mask in result["masks"]]
    assert len(masks) == len(expected["labels"]) > 0
    assert masks[0].shape == (96, 96)
    assert any(mask.any() for mask in masks)
    assert (folder / "out" / "vis" / "1.png").is_file()


@pytest.mark.parametrize("detector", [tiny_faster_rcnn], indirect=True, ids=["faster_rcnn"])
def test_a_training_of_the_wrapper_leaves_a_checkpoint_that_loads(detector):
    folder, config, _ = detector
    mim("train", MMDET, config, "--gpus", 0, "--work-dir", folder / "work", cwd=folder)
    output = mim(
        "test", MMDET, config, "--checkpoint", folder / "work" / "epoch_2.pth", "--gpus", 0,
        "--work-dir", folder / "again", cwd=folder,
    )  # fmt: skip
    assert "missing keys" not in output
