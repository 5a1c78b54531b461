"""The box labeller in ONNX Runtime: the masks of PyTorch."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from class_paths import with_class_paths
from exported import tiny_model
from mmengine.config import Config
from pycocotools import mask as coco_masks
from tiny import tiny_labeler, tiny_solov2, write_boxes

from mmdet_discobox.deployment import OnnxDetector, OnnxLabeler, export_onnx
from mmdet_discobox.labelling import AutoLabeler, BoxedImage

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
TOOLS = Path(__file__).parents[2] / "tools"


@pytest.mark.parametrize("num_classes", [3, None])
def test_its_logits_and_masks_are_those_of_pytorch(tmp_path, num_classes):
    model = tiny_model(tiny_labeler(num_classes=num_classes))
    model.teacher.update_parameters(model)  # the average predicts, and is exported
    with torch.no_grad():
        for parameter in model.teacher.module.mask_head.parameters():
            parameter.add_(0.1)
    if num_classes is None:
        model.dataset_meta = {}
    export_onnx(model, tmp_path / "labeler.onnx")
    exported = OnnxLabeler(tmp_path / "labeler.onnx", threads=1)
    rng = np.random.default_rng(0)
    boxes = np.array([[5, 8, 60, 70], [30, 10, 90, 50], [0, 0, 20, 20]], np.float32)
    names = ["one", "two", "three"]
    image = BoxedImage(rng.integers(0, 255, (90, 100, 3), dtype=np.uint8), boxes, names)
    torch_labeler = AutoLabeler(model, classes=names)
    onnx_labeler = AutoLabeler(exported, classes=exported.classes)
    objects = image.objects([0, 1, 2])
    rgb = torch.rand(1, 3, 90, 100) * 255
    one, other = (
        labeler.predictor(None, rgb, objects, objects.boxes, 16).coarse
        for labeler in (torch_labeler, onnx_labeler)
    )
    assert one.std() > 1e-3
    assert torch.allclose(one, other, atol=1e-4)
    for mine, its in zip(torch_labeler([image])[0], onnx_labeler([image])[0], strict=True):
        assert (mine.window != its.window).mean() < 1e-3
        assert mine.quality == pytest.approx(its.quality, abs=1e-3)


def test_a_detector_is_refused(tmp_path):
    export_onnx(tiny_model(tiny_solov2()), tmp_path / "a.onnx")
    with pytest.raises(ValueError, match="a box labeller but got a DiscoBoxSOLOv2, which detects"):
        OnnxLabeler(tmp_path / "a.onnx")


def test_types_with_their_modules_are_exported(tmp_path):
    """The text of a Python-style config has them: `mmdet_discobox.models.networks.X`."""
    for name, network in (("labeler", tiny_labeler), ("solov2", tiny_solov2)):
        model = tiny_model(network())
        model.cfg = Config(with_class_paths(model.cfg.to_dict()))
        assert ".models." in model.cfg.model.type
        export_onnx(model, tmp_path / f"{name}.onnx")
    assert OnnxLabeler(tmp_path / "labeler.onnx").classes == ("one", "two", "three")
    with pytest.raises(ValueError, match="a box labeller but got a DiscoBoxSOLOv2, which detects"):
        OnnxLabeler(tmp_path / "solov2.onnx")
    assert OnnxDetector(tmp_path / "solov2.onnx").network is not None
    with pytest.raises(ValueError, match="a detector but got a DiscoBoxLabeler, which labels"):
        OnnxDetector(tmp_path / "labeler.onnx")


def run(name, *arguments):
    spec = importlib.util.spec_from_file_location(name, TOOLS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main([str(argument) for argument in arguments])


def test_the_shipped_labeller_labels_the_same_in_onnx(tmp_path, capsys):
    root = write_boxes(tmp_path / "set")
    exported = tmp_path / "größe.onnx"
    run("export_onnx", "--shipped-labeler", exported)
    assert "DiscoBoxLabeler written to" in capsys.readouterr().out
    found = {}
    for name, options in (("torch", ()), ("onnx", ("--onnx", exported))):
        out = tmp_path / f"{name}.json"
        assert run("autolabel", *options, root / "boxes.json", root / "images", out) == 0
        found[name] = json.loads(out.read_text())["annotations"]
    ious = [
        coco_masks.iou([one["segmentation"]], [other["segmentation"]], [0])[0][0]
        for one, other in zip(found["torch"], found["onnx"], strict=True)
    ]
    assert len(ious) == 6
    assert np.mean(ious) > 0.999
    for options in (("--teacher-only",), ("--fit",)):
        with pytest.raises(SystemExit):
            run("autolabel", "--onnx", exported, *options, root / "boxes.json", root, out)
