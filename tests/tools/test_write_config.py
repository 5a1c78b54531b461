"""`check_dataset.py --write-config`: the config that it writes trains, tests and predicts."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from mmengine.config import Config, DictAction
from mmengine.runner import Runner, save_checkpoint
from tiny import build, write_boxes
from tiny_detectors import CONFIGS as STOCK

from dataset_checks import TrainingSettings
from starter_config import NETWORKS, DataFiles, starter_config

ROOT = Path(__file__).parents[2]
OURS = {
    "solov2": "solov2_r50",
    "condinst": "condinst_r50",
    "yolact": "yolact_r50",
    "rtmdet-ins": "rtmdet-ins_s",
    "rtmdet-ins-tiny": "rtmdet-ins_tiny",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_boxes(tmp_path_factory.mktemp("wörk 图") / "set", num_images=5)


def write(check, folder, path, *options):
    return check(folder / "boxes.json", folder / "images", "--write-config", path, *options)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_parts_of_discobox_are_those_of_our_configs(name, check, folder, tmp_path):
    """All but the classes, correspondences and what belongs to the size of images."""
    write(check, folder, tmp_path / "own.py", "--network", name)
    written = Config.fromfile(tmp_path / "own.py").model
    ours = Config.fromfile(ROOT / f"configs/discobox/{OURS[name]}.py").model
    for head in ("bbox_head", "mask_head"):
        if head in ours and "num_classes" in ours[head]:
            assert written[head].num_classes == 3
            written[head].num_classes = ours[head].num_classes
    if name == "solov2":
        for key in ("scale_ranges", "num_grids"):
            written.mask_head[key] = ours.mask_head[key]
    for model in (written, ours):
        for key in ("loss_nce", "data_preprocessor"):
            model.pop(key, None)
        model.structured_teacher.pop("cross_image", None)
        model.loss_mil.setdefault("loss_weight", 1.0)
    for key in ("dcn", "stage_with_dcn"):  # none, in YOLACT
        ours.backbone.pop(key, None)
    ours.backbone.init_cfg = written.backbone.init_cfg
    assert written == ours


@pytest.mark.parametrize("name", NETWORKS)
def test_the_start_is_the_one_of_mmdets_metafile(name, check, folder, tmp_path):
    write(check, folder, tmp_path / "own.py", "--network", name)
    config = Config.fromfile(tmp_path / "own.py")
    base = re.search(r'_base_ = \["mmdet::(.*)"\]', (tmp_path / "own.py").read_text())[1]
    metafile = yaml.safe_load((STOCK / base).with_name("metafile.yml").read_text())
    listed = {model.get("Weights"): model["Config"] for model in metafile["Models"]}
    assert config.load_from in listed
    theirs = Config.fromfile(STOCK.parent / listed[config.load_from], import_custom_modules=False)
    for part in ("backbone", "neck"):  # the same architecture, so that all weights fit
        assert theirs.model[part] == Config.fromfile(STOCK / base).model[part]


@pytest.mark.parametrize("name", NETWORKS)
def test_the_weights_of_imagenet_can_be_switched_off(name, check, folder, tmp_path):
    """By the option of the manual, and by the line that the config names."""
    write(check, folder, tmp_path / "own.py", "--network", name)
    text = (tmp_path / "own.py").read_text()
    by_option = Config.fromfile(tmp_path / "own.py")
    assert by_option.model.backbone.init_cfg
    manual = (ROOT / "docs" / "own_data.md").read_text()
    key, value = re.search(r"--cfg-options (model\S+)=(\w+)", manual).groups()
    by_option.merge_from_dict({key: DictAction._parse_iterable(value)})
    (line,) = re.findall(r"add `(.*)` inside `model` below", text)
    start = "model = dict(\n"
    (tmp_path / "line.py").write_text(text.replace(start, f"{start}    {line}\n"))
    for config in (by_option, Config.fromfile(tmp_path / "line.py")):
        assert config.model.backbone.init_cfg is None
        assert config.model.teacher_network
        assert config.model.backbone.type


def tiny(config, name, work_dir):
    """Few channels and small images; everything else as written."""
    model = config.model
    model.test_cfg.update(score_thr=0.0)  # untrained, it finds objects all the same
    norm = dict(type="GN", num_groups=4)
    if name.startswith("rtmdet"):
        model.backbone.update(widen_factor=0.125, init_cfg=None)
        model.neck.update(in_channels=[32, 64, 128], out_channels=16)
        model.bbox_head.update(in_channels=16, feat_channels=16)
    else:
        model.backbone.update(depth=18, base_channels=8, init_cfg=None)
        model.neck.update(in_channels=[8, 16, 32, 64], out_channels=16)
        for head in ("bbox_head", "mask_head"):
            for key in {"in_channels", "feat_channels"} & model.get(head, {}).keys():
                model[head][key] = 16 if head == "bbox_head" or name != "condinst" else 8
        if name in ("solov2", "condinst"):
            model.mask_head.mask_feature_head.update(feat_channels=16, norm_cfg=norm)
        if name == "solov2":
            model.test_cfg.update(filter_thr=0.0)
            model.mask_head.mask_feature_head.out_channels = 16
            model.mask_head.norm_cfg = norm
        if name == "condinst":
            model.mask_head.mask_feature_head.in_channels = 16
            model.bbox_head.norm_cfg = norm
    if name == "solov2":
        model.mask_head.mask_feature_head.in_channels = 16
    config.merge_from_dict(
        {
            "work_dir": str(work_dir),
            "train_dataloader.num_workers": 0,
            "train_dataloader.persistent_workers": False,
            "train_cfg.max_epochs": 1,
            "train_cfg.val_interval": 1,
            "default_hooks.checkpoint.interval": 1,
            "default_hooks.logger.interval": 1,
            "experiment_name": str(work_dir).replace("/", "_"),
        }
    )
    for loader in (config.val_dataloader, config.test_dataloader):
        if loader is not None:
            loader.update(num_workers=0, persistent_workers=False)
    return config


def some_masks(folder, path, keep=lambda annotation: annotation["id"] % 2):
    """Write a json in which some objects have a mask."""
    content = json.loads((folder / "masks.json").read_text())
    for annotation in content["annotations"]:
        if not keep(annotation):
            del annotation["segmentation"]
    path.write_text(json.dumps(content))
    return sum("segmentation" in annotation for annotation in content["annotations"])


@pytest.mark.slow
@pytest.mark.parametrize("use_masks", [False, True])
@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "rtmdet-ins-tiny"])
def test_the_written_config_trains_and_validates(name, use_masks, folder, tmp_path):
    some_masks(folder, tmp_path / "mixed.json")
    files = DataFiles(tmp_path / "mixed.json", folder / "images", folder / "masks.json")
    text = starter_config(files, name, use_masks=use_masks).text
    for scale in re.findall(r"\((?:640|550|576|512), \d+\)", text):
        text = text.replace(scale, "(96, 96)")
    (tmp_path / "small.py").write_text(text.replace("divisor=550", "divisor=96"))
    config = tiny(Config.fromfile(tmp_path / "small.py"), name, tmp_path / "work")
    stock = build({**config.model})
    weights = {k: v for k, v in stock.state_dict().items() if "teacher" not in k}
    save_checkpoint(dict(state_dict=weights, meta={}), str(tmp_path / "stock.pth"))
    config.load_from = str(tmp_path / "stock.pth")
    config.train_dataloader.batch_size = 2
    runner = Runner.from_cfg(config)
    runner.train()
    log = "".join(path.read_text() for path in (tmp_path / "work").glob("*/*.log"))
    assert "Start from" in log
    assert "segm_mAP" in log
    losses = {key: float(value) for key, value in re.findall(r"(loss\w*): ([\d.na]+)", log)}
    assert {"loss_mil", "loss_con"} <= losses.keys()
    assert all(np.isfinite(value) for value in losses.values())
    shares = [float(share) for share in re.findall(r" true_masks: ([\d.]+)", log)]
    assert bool(shares) == use_masks
    assert not use_masks or 0 < max(shares) <= 1


def test_masks_are_read_only_if_asked(check, folder, tmp_path):
    count = some_masks(folder, tmp_path / "mixed.json")
    arguments = (tmp_path / "mixed.json", folder / "images", "--write-config")
    output = check(*arguments, tmp_path / "boxes.py")
    assert f"{count} objects have a true mask: a config written with --use-masks" in output
    text = (tmp_path / "boxes.py").read_text()
    assert not re.search("use_masks|LoadTrueMasks|true_masks|true mask", text)
    assert "docs/mixed.md shows how to train on them" in output
    output = check(*arguments, tmp_path / "own.py", "--use-masks")
    assert "The config trains on them" in output
    assert not re.search("written with --use-masks|docs/mixed.md", output)
    config = Config.fromfile(tmp_path / "own.py")
    assert f"({count} with a true mask)" in (tmp_path / "own.py").read_text()
    assert config.train_dataloader.dataset.use_masks
    assert config.model.true_masks
    kinds = [transform.type for transform in config.train_pipeline]
    assert kinds.index("LoadTrueMasks") == kinds.index("LoadAnnotations") + 1
    assert "with --use-masks trains" not in check(
        folder / "boxes.json", folder / "images", "--write-config", tmp_path / "none.py"
    )


def test_another_image_scale_in_the_text_reaches_all_its_uses(check, folder, tmp_path):
    write(check, folder, tmp_path / "own.py")
    text = (tmp_path / "own.py").read_text()
    (tmp_path / "own.py").write_text(
        text.replace("image_scale = (640, 640)", "image_scale = (320, 200)")
    )
    config = Config.fromfile(tmp_path / "own.py")
    scales = next(t.scales for t in config.train_pipeline if t.type == "RandomChoiceResize")
    assert [tuple(scale) for scale in scales] == [(256, 160), (288, 180), (320, 200)]
    assert tuple(config.test_pipeline[1].scale) == (320, 200)


@pytest.mark.parametrize("gpu", [False, True])
def test_the_work_of_a_training_on_a_cpu_is_named(gpu, check, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    output = write(check, folder, tmp_path / "own.py")
    steps = re.search(r"\(([\d,]+) steps on one GPU\)", output)[1]
    assert (f"There is no GPU here. This training has {steps} steps" in output) == (not gpu)
    fit = shlex.join(["--fit", str(folder / "boxes.json"), str(folder / "images"), "OUT_JSON"])
    assert (fit in output) == (not gpu)
    assert ("--network rtmdet-ins-tiny" in output) == (not gpu)
    output = write(check, folder, tmp_path / "tiny.py", "--network", "rtmdet-ins-tiny")
    assert ("There is no GPU" in output) == (not gpu)
    assert "--network rtmdet-ins-tiny" not in output


def test_classes_and_paths_with_quotes_and_one_class(check, tmp_path):
    root = write_boxes(tmp_path / 'it"s')
    content = json.loads((root / "boxes.json").read_text())
    content["categories"] = [dict(id=1, name='Ap"fel\\n {x} 图')]
    for annotation in content["annotations"]:
        annotation["category_id"] = 1
    (root / "boxes.json").write_text(json.dumps(content))
    write(check, root, tmp_path / "own.py")
    config = Config.fromfile(tmp_path / "own.py")
    assert config.train_dataloader.dataset.metainfo.classes == ('Ap"fel\\n {x} 图',)
    assert Path(config.train_dataloader.dataset.ann_file) == root / "boxes.json"
    assert config.model.mask_head.num_classes == 1


def test_a_share_of_tiny_boxes_is_reported(check, tmp_path):
    root = write_boxes(tmp_path / "set", size=96)
    content = json.loads((root / "boxes.json").read_text())
    for annotation in content["annotations"]:
        annotation["bbox"][2:] = [2, 2]
    (root / "boxes.json").write_text(json.dumps(content))
    write(check, root, tmp_path / "own.py")
    assert "100% of the boxes are below 16 pixels" in (tmp_path / "own.py").read_text()


def test_ranges_and_grids_of_solov2_follow_the_boxes(check, tmp_path):
    """Many small boxes side by side, which COCO's grids merge into few cells."""
    root = write_boxes(tmp_path / "set", num_images=1, empty=0)
    content = json.loads((root / "boxes.json").read_text())
    content["annotations"] = [
        dict(id=1 + i, image_id=0, category_id=1, bbox=[2 * (i % 48), 2 * (i // 48), 2, 2])
        for i in range(48 * 48)
    ]
    (root / "boxes.json").write_text(json.dumps(content))
    write(check, root, tmp_path / "own.py")
    config = Config.fromfile(tmp_path / "own.py")
    assert list(config.model.mask_head.num_grids) != [40, 36, 24, 16, 12]
    settings = TrainingSettings.from_config(config)
    assert tuple(settings.num_grids) == tuple(config.model.mask_head.num_grids)
