"""Detectors in ONNX Runtime: the predictions of PyTorch, for every network and any size."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from exported import CLASSES, tiny_model
from mmdet.apis import inference_detector
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from tiny import NETWORKS, batch, build, tiny_labeler, tiny_solov2, tiny_yolact

from mmdet_discobox.deployment import OnnxDetector, export_onnx
from mmdet_discobox.deployment.raw_outputs import flatten_outputs

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module", params=NETWORKS)
def pair(request, tmp_path_factory):
    """A detector in PyTorch, and the same in ONNX Runtime."""
    model = tiny_model(NETWORKS[request.param]())
    path = tmp_path_factory.mktemp("ünnx 图") / "network.onnx"
    export_onnx(model, path)
    return model, OnnxDetector(path)


def predicted(model, images):
    samples = [DetDataSample(metainfo=image) for image in images]
    inputs = []
    for seed, image in enumerate(images):
        height, width = image["img_shape"]
        inputs.append(batch((1,), seed=seed)["inputs"][0][:, :height, :width])
    with torch.no_grad():
        return model.test_step(dict(inputs=inputs, data_samples=samples))


@pytest.mark.parametrize("shape", [(2, 3, 96, 128), (1, 3, 160, 64), (3, 3, 64, 96)])
def test_raw_outputs_are_those_of_pytorch_for_any_batch_and_size(pair, shape):
    model, exported = pair
    images = torch.randn(shape, generator=torch.manual_seed(1))
    with torch.no_grad():
        expected = flatten_outputs(model.head_outputs(model.extract_feat(images)))
    found = exported.session(images=images)
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        assert torch.allclose(found[name], tensor, atol=1e-4, rtol=1e-3), name


def test_predictions_are_those_of_pytorch(pair):
    model, exported = pair
    one = dict(img_shape=(96, 96), ori_shape=(192, 192), scale_factor=(0.5, 0.5))
    other = dict(img_shape=(64, 96), ori_shape=(64, 96), scale_factor=(1.0, 1.0))
    for images in ([one], [one, other]):
        ours, theirs = (predicted(each, images) for each in (model, exported))
        for mine, its in zip(ours, theirs, strict=True):
            mine, its = mine.pred_instances, its.pred_instances
            assert len(mine) == len(its) > 0
            assert torch.equal(mine.labels, its.labels)
            assert torch.allclose(mine.scores, its.scores, atol=1e-4)
            assert torch.allclose(mine.bboxes, its.bboxes, atol=1e-1)
            assert (mine.masks != its.masks).float().mean() < 1e-3


def test_raw_outputs_give_the_predictions_of_mmdet(pair):
    model, _ = pair
    data = model.data_preprocessor(batch(), False)
    with torch.no_grad():
        outputs = model.head_outputs(model.extract_feat(data["inputs"]))
        metas = [sample.metainfo for sample in data["data_samples"]]
        found = model.predict_by_outputs(outputs, metas)
        expected = model.predict(data["inputs"], data["data_samples"])
    for instances, sample in zip(found, expected, strict=True):
        for key, value in instances.items():
            mine, its = (torch.as_tensor(x).float() for x in (value, sample.pred_instances[key]))
            assert torch.allclose(mine, its, atol=1e-6, rtol=1e-5), key


def test_it_is_a_detector_of_mmdet(pair, tmp_path):
    model, exported = pair
    path = str(tmp_path / "image.png")
    cv2.imwrite(path, np.random.default_rng(0).integers(0, 255, (80, 120, 3)))
    sample = inference_detector(exported, path)
    assert sample.pred_instances.masks.shape[1:] == (80, 120)
    assert exported.dataset_meta["classes"] == CLASSES
    with pytest.raises(ValueError, match="in PyTorch to train, but this one is in ONNX"):
        exported.loss(torch.zeros(1, 3, 64, 64), [])


def test_a_config_can_name_it(tmp_path):
    export_onnx(tiny_model(tiny_solov2()), tmp_path / "a.onnx")
    assert MODELS.build(dict(type="OnnxDetector", path=tmp_path / "a.onnx", threads=1)) is not None


def test_a_training_goes_on_after_the_export(tmp_path):
    """It left the whole network in evaluation mode."""
    model = tiny_model(tiny_labeler()).train()
    modes = [module.training for module in model.modules()]
    export_onnx(model, tmp_path / "a.onnx")
    assert [module.training for module in model.modules()] == modes
    export_onnx(model.eval(), tmp_path / "a.onnx")
    assert not any(module.training for module in model.modules())


def test_other_models_and_files_are_refused(tmp_path):
    with pytest.raises(ValueError, match="network of this package but got SOLOv2"):
        export_onnx(build(tiny_solov2(box_supervised=False)), tmp_path / "a.onnx")
    with pytest.raises(FileNotFoundError, match=r"ONNX file at '.*a\.onnx', but there is none"):
        OnnxDetector(tmp_path / "a.onnx")
    (tmp_path / "b.onnx").write_bytes(b"no network")
    with pytest.raises(ValueError, match="ONNX Runtime cannot read it"):
        OnnxDetector(tmp_path / "b.onnx")
    export_onnx(tiny_model(tiny_labeler()), tmp_path / "labeler.onnx")
    with pytest.raises(ValueError, match="a detector but got a DiscoBoxLabeler"):
        OnnxDetector(tmp_path / "labeler.onnx")


def test_deformable_convolutions_do_not_export(tmp_path):
    config = tiny_yolact()
    config.backbone.update(depth=50)
    config.neck.update(in_channels=[32, 64, 128, 256])
    config.backbone.update(
        dcn=dict(type="DCNv2", deform_groups=1, fallback_on_stride=False),
        stage_with_dcn=(False, True, True, True),
    )
    with pytest.raises(ValueError, match="mmcv::MMCVModulatedDeformConv2d"):
        export_onnx(tiny_model(config), tmp_path / "dcn.onnx")
    assert list(tmp_path.iterdir()) == []
