"""The stock config of a student: without this package, the same weights and predictions."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from class_paths import with_class_paths
from mmdet.registry import MODELS
from mmengine.config import Config
from tiny import NETWORKS, batch, build, tiny_labeler, tiny_rtmdet_ins, tiny_solov2, tiny_yolact

from mmdet_discobox.checkpoints import parse_config, stock_config, stock_config_text
from mmdet_discobox.checkpoints.stock_config import keep_stock_weights, remaining_classes
from mmdet_discobox.models.teachers import ADDITIONS

ROOT = Path(__file__).parents[2]
CONFIGS = sorted(ROOT.glob("configs/discobox/*.py")) + sorted(ROOT.glob("configs/lite0/*.py"))
PIPELINE = [dict(type="LoadImageFromFile"), dict(type="PackDetInputs")]
#: loads every config of a folder with its weights, strictly, and saves the predictions
PREDICT = """
import sys, torch
from pathlib import Path
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmdet.registry import HOOKS, MODELS

init_default_scope("mmdet")
for path in Path(sys.argv[1]).glob("*-*.py"):
    config = Config.fromfile(path)
    assert [HOOKS.build(hook) for hook in config.default_hooks.values()]
    model = MODELS.build(config.model).eval()
    weights = torch.load(path.with_suffix(".pth"), weights_only=True)["state_dict"]
    model.load_state_dict(weights, strict=True)
    data = torch.load(sys.argv[2], weights_only=False)
    found = [s.pred_instances.to_dict() for s in model.test_step(data)]
    torch.save(found, path.with_suffix(".found"))
assert not [name for name in sys.modules if name.startswith("mmdet_discobox")]
"""


def training_config(model):
    loader = dict(dataset=dict(type="CocoDataset", pipeline=PIPELINE))
    return Config(
        dict(
            custom_imports=dict(imports=["mmdet_discobox"], allow_failed_imports=False),
            custom_hooks=[dict(type="TeacherEMAHook")],
            default_hooks=dict(timer=dict(type="IterTimerHook"), resume=dict(type="ResumeHook")),
            default_scope="mmdet",
            model=model,
            train_dataloader=dict(dataset=dict(type="CocoBoxDataset")),
            test_dataloader=loader,
            test_evaluator=dict(type="VOCInstanceMetric", ann_file="val.json"),
        )
    )


def publish(*arguments):
    path = ROOT / "tools" / "publish_model.py"
    spec = importlib.util.spec_from_file_location("publish_model", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main([str(argument) for argument in arguments])


def test_published_networks_predict_the_same_without_this_package(tmp_path, capsys):
    data, expected = batch(), {}
    for name, network in NETWORKS.items():
        config = training_config(network())
        model = build(network()).eval()
        meta = dict(cfg=config.pretty_text)
        torch.save(dict(state_dict=model.state_dict(), meta=meta), tmp_path / f"{name}.pth")
        publish(tmp_path / f"{name}.pth", tmp_path / "out" / f"{name}.pth", "--stock-config")
        with torch.no_grad():
            expected[name] = [sample.pred_instances for sample in model.test_step(batch())]
    output = capsys.readouterr().out
    assert "Masks have no `mask_scores`" in output
    assert "must be installed" not in output
    torch.save(data, tmp_path / "batch.pt")
    (tmp_path / "predict.py").write_text(PREDICT)
    line = [sys.executable, tmp_path / "predict.py", tmp_path / "out", tmp_path / "batch.pt"]
    run = subprocess.run(line, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-3000:]
    for name, instances in expected.items():
        (path,) = (tmp_path / "out").glob(f"{name}-*.found")
        for ours, stock in zip(instances, torch.load(path, weights_only=False), strict=True):
            assert len(ours) > 0
            for key in ("scores", "labels", "masks", *(["bboxes"] if name != "solov2" else [])):
                assert torch.equal(ours[key].float(), stock[key].float()), (name, key)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_of_a_detector_becomes_stock(path):
    config = Config.fromfile(path, import_custom_modules=False)
    if "labeler" in path.stem or "masks_from_boxes" in path.stem:
        with pytest.raises(ValueError, match="a detector that inherits from one of mmdet"):
            stock_config(config)
        return
    stock = stock_config(config)
    remaining = remaining_classes(stock)
    assert set(remaining) <= {"EfficientNetLite", "DCNResNet"}
    imports = (stock.get("custom_imports") or {}).get("imports", [])
    assert ("mmdet_discobox" in imports) == bool(remaining)
    assert ("mmpretrain.models" in imports) == stock.model.backbone.type.startswith("mmpretrain.")


def test_classes_that_are_not_registered_are_named():
    config = Config(dict(model=dict(type="SOLOv2", backbone=dict(type="NobodysBackbone"))))
    message = "NobodysBackbone is not in the .*modules of `custom_imports` are not imported"
    with pytest.raises(ValueError, match=message):
        keep_stock_weights({}, config)


def test_a_config_without_tests_becomes_stock():
    config = Config.fromfile(ROOT / "configs" / "discobox" / "solov2_r50.py")
    parts = ("test_dataloader", "test_evaluator", "test_cfg")
    config.merge_from_dict(dict.fromkeys(parts))
    assert stock_config(config).model.type == "SOLOv2"


@pytest.mark.parametrize(
    "name", ["solov2_r101_dcn", "yolact_r101_dcn", "yolact_r50_dcn", "rtmdet-ins_s", "condinst_r50"]
)
def test_stock_networks_have_the_layers_of_ours(name):
    config = Config.fromfile(ROOT / "configs" / "discobox" / f"{name}.py")
    config.model.update(structured_teacher=None, teacher_network=None)
    if "yolact" in name:
        config.model.mask_head.rescoring = None
    ours = MODELS.build(config.model).state_dict()
    with torch.device("meta"):
        stock = MODELS.build(stock_config(config).model).state_dict()
    shapes = {key: value.shape for key, value in ours.items() if not key.startswith(ADDITIONS)}
    assert {key: value.shape for key, value in stock.items()} == shapes


@pytest.mark.parametrize("name", NETWORKS)
def test_types_with_their_modules_become_stock(name):
    """The text of a Python-style config has them: `mmdet_discobox.models.networks.X`."""
    plain = training_config(NETWORKS[name]()).to_dict()
    paths = Config(with_class_paths(plain, package="mmdet_discobox"))
    assert "mmdet_discobox.engine" in paths.pretty_text
    assert stock_config(paths).to_dict() == stock_config(Config(plain)).to_dict()
    assert stock_config_text(paths) == stock_config_text(Config(plain))


def test_a_student_with_types_with_their_modules_is_published(tmp_path):
    config = Config(with_class_paths(training_config(tiny_solov2()).to_dict()))
    meta = dict(cfg=config.pretty_text)
    torch.save(dict(state_dict=build(tiny_solov2()).state_dict(), meta=meta), tmp_path / "a.pth")
    publish(tmp_path / "a.pth", tmp_path / "out" / "a.pth", "--stock-config")
    (path,) = (tmp_path / "out").glob("*.py")
    assert "mmdet_discobox" not in path.read_text()


def test_differences_stand_in_the_config():
    text = stock_config_text(training_config(tiny_rtmdet_ins(prediction_refiner=dict())))
    assert "# mmdet swaps the scales of width and height" in text
    assert "# Masks are not refined" in text
    assert "# Boxes are zeros" in stock_config_text(training_config(tiny_solov2()))
    assert "with_seg_branch=False" in stock_config_text(training_config(tiny_yolact()))
    assert "CocoMetric" in text
    assert "custom_imports" not in text
    assert "CocoBoxDataset" not in text
    config = training_config(tiny_solov2(backbone=dict(type="EfficientNetLite")))
    text = stock_config_text(config)
    assert parse_config(text).model == stock_config(config).model
    assert "# mmdet_discobox must be installed: mmdet has no EfficientNetLite." in text
    assert "pretrained=False" in text


def test_a_labeller_and_a_checkpoint_without_config_are_refused(tmp_path):
    with pytest.raises(ValueError, match="inherits from one of mmdet but got DiscoBoxLabeler"):
        stock_config(training_config(tiny_labeler()))
    paths = with_class_paths(training_config(tiny_labeler()).to_dict())
    with pytest.raises(ValueError, match="inherits from one of mmdet but got DiscoBoxLabeler"):
        stock_config(Config(paths))
    source = tmp_path / "a.pth"
    torch.save(dict(state_dict=build(tiny_solov2()).state_dict()), source)
    with pytest.raises(ValueError, match=r"config of the training in '.*a\.pth'"):
        publish(source, tmp_path / "b.pth", "--stock-config")
    meta = dict(cfg=training_config(tiny_solov2(num_classes=5)).pretty_text)
    torch.save(dict(state_dict=build(tiny_solov2()).state_dict(), meta=meta), source)
    with pytest.raises(ValueError, match="fit the stock SOLOv2 of the config, but 2 are missing"):
        publish(source, tmp_path / "b.pth", "--stock-config")
    assert list(tmp_path.iterdir()) == [source]


def test_the_text_of_a_config_is_read_again():
    config = Config(
        dict(a=dict(b=[1, -2.5, (True, None)], c={"d-e": "f"}), g=float("inf"), h=dict(), i="j'k")
    )
    assert parse_config(config.pretty_text).to_dict() == config.to_dict()


@pytest.mark.parametrize(
    "text",
    [
        "import os",
        "a = __import__('os').system('true')",
        "a = dict(b=open('c'))",
        "a = dict(**b)",
        "a = dict([(1, 2)])",
        "a, b = 1, 2",
        "a = b",
        "a = {**dict()}",
        "a =",
        "print(1)",
    ],
)
def test_anything_but_values_is_refused(text):
    with pytest.raises(ValueError, match="Expected the text of a config"):
        parse_config(text)
