"""Commands of users, with unusual folder names and broken files."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import save_checkpoint
from released import predictions, released_weights, stock_solov2
from tiny import build, tiny_solov2, write_boxes

TOOLS = Path(__file__).parents[2] / "tools"


def command(name, *arguments):
    """Run a tool from the command line and return its output."""
    line = [sys.executable, str(TOOLS / f"{name}.py"), *map(str, arguments)]
    run = subprocess.run(line, capture_output=True, text=True, timeout=300, check=False)
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-3000:]
    return run.stdout


@pytest.fixture
def tool(capsys):
    """Run a tool in this process, which saves the start of another."""

    def run(name, *arguments, status=None):
        spec = importlib.util.spec_from_file_location(name, TOOLS / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        assert module.main([str(argument) for argument in arguments]) == status
        return "".join(capsys.readouterr())

    return run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A data set, a config and a checkpoint in a folder with a non-ASCII name."""
    init_default_scope("mmdet")
    folder = tmp_path_factory.mktemp("wörk 图")
    root = write_boxes(folder / "set")
    dataset = dict(
        type="CocoBoxDataset",
        data_root=str(root),
        ann_file="boxes.json",
        data_prefix=dict(img="images/"),
        metainfo=dict(classes=("one", "two", "three")),
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="LoadAnnotations", with_bbox=True),
            dict(type="Resize", scale=(128, 96), keep_ratio=True),
            dict(type="RandomFlip", prob=0.5),
            dict(type="PackDetInputs"),
        ],
    )
    test_pipeline = [
        dict(type="LoadImageFromFile"),
        dict(type="Resize", scale=(96, 96), keep_ratio=True),
        dict(
            type="PackDetInputs", meta_keys=("img_path", "ori_shape", "img_shape", "scale_factor")
        ),
    ]
    loader = dict(batch_size=2, num_workers=0, sampler=dict(type="DefaultSampler", shuffle=False))
    config = Config(
        dict(
            custom_imports=dict(imports=["mmdet_discobox"], allow_failed_imports=False),
            default_scope="mmdet",
            model=tiny_solov2(),
            train_dataloader=dict(dataset=dataset, **loader),
            test_dataloader=dict(
                dataset={**dataset, "pipeline": test_pipeline, "test_mode": True}, **loader
            ),
            test_evaluator=dict(type="CocoMetric"),
            train_cfg=dict(max_epochs=2),
            visualizer=dict(type="DetLocalVisualizer"),
        )
    )
    config.dump(folder / "config.py")
    model = build(tiny_solov2())
    model.teacher.update_parameters(model)
    save_checkpoint(
        dict(
            state_dict=model.state_dict(),
            meta=dict(dataset_meta=dict(classes=("one", "two", "three"))),
            optimizer=torch.optim.SGD(model.parameters(), lr=1.0).state_dict(),
        ),
        str(folder / "epoch_2.pth"),
    )
    return folder


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """A checkpoint in the released layout, and its network."""
    original = stock_solov2()
    path = tmp_path_factory.mktemp("released") / "a.pth"
    torch.save(dict(meta=dict(epoch=36), state_dict=released_weights(original)), path)
    return path, original


@pytest.mark.slow
def test_every_command_runs_on_its_own(folder, released, tmp_path):
    """Start five processes; tests below check the results."""
    root, out = folder / "set", tmp_path / "ergebnis é"
    config, checkpoint, image = folder / "config.py", folder / "epoch_2.pth", root / "images/1.png"
    assert "mask_thr=0.4" in command("convert_checkpoint", released[0], out / "neu.pth")
    assert "student" in command("publish_model", checkpoint, out / "模型.pth")
    assert "num_classes = 3" in command("check_dataset", root / "boxes.json", root / "images")
    command("browse_pseudo_labels", config, checkpoint, "--out", out / "masken", "--limit", 1)
    command("image_demo", image, config, checkpoint, "--out-dir", out, "--device", "cpu")
    names = {path.relative_to(out).as_posix() for path in out.rglob("*.p*")} - {"preds"}
    (published,) = (name for name in names if name.startswith("模型-"))
    assert names == {"neu.pth", published, "masken/0000.png", "vis/1.png"}


def test_convert_checkpoint(tool, released, tmp_path):
    path, original = released
    config = tool("convert_checkpoint", path, tmp_path / "neu" / "ß.pth")
    assert "mask_thr=0.4" in config
    again = stock_solov2(seed=1)
    again.load_state_dict(torch.load(tmp_path / "neu" / "ß.pth")["state_dict"], strict=True)
    for ours, theirs in zip(predictions(again), predictions(original), strict=True):
        assert torch.equal(ours, theirs)


def test_convert_checkpoint_refuses_other_checkpoints_and_writes_nothing(tool, folder, tmp_path):
    with pytest.raises(ValueError, match=r"(?s)keys of a released .*- mask_head\.conv_cls\.bias"):
        tool("convert_checkpoint", folder / "epoch_2.pth", tmp_path / "new.pth")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("network", ["student", "teacher"])
def test_publish_model(tool, folder, tmp_path, network):
    source, target = folder / "epoch_2.pth", tmp_path / "mein 模型.pth"
    output = tool("publish_model", source, target, "--network", network)
    (path,) = tmp_path.iterdir()
    assert path.name.startswith("mein 模型-")
    assert str(path) in output
    stock = build(tiny_solov2(box_supervised=False))
    stock.load_state_dict(torch.load(path, weights_only=True)["state_dict"], strict=True)
    with pytest.raises(ValueError, match="Expected a teacher network"):
        tool("publish_model", path, tmp_path / "b.pth", "--network", "teacher")


def test_check_dataset(tool, folder, tmp_path):
    root = folder / "set"
    arguments = (root / "boxes.json", root / "images", "--config", folder / "config.py")
    output = tool("check_dataset", *arguments, "--json", tmp_path / "ü.json", status=0)
    assert "num_classes = 3" in output
    report = json.loads((tmp_path / "ü.json").read_text())
    assert report["counts"] == dict(images=4, boxes=6, classes=3)
    assert report["stops_training"] is False
    coco = json.loads((root / "boxes.json").read_text())
    coco["images"][1]["file_name"] = "gone.png"
    (tmp_path / "boxes.json").write_text(json.dumps(coco))
    output = tool("check_dataset", tmp_path / "boxes.json", root / "images", status=1)
    assert "error: 1 image files are missing" in output
    with pytest.raises(ValueError, match="to be a COCO json, but it cannot be parsed"):
        tool("check_dataset", root / "images" / "1.png", root / "images")


def test_check_dataset_creates_the_folder_of_its_report_first(tool, folder, tmp_path, monkeypatch):
    root = folder / "set"
    out = tmp_path / "neu ö" / "report.json"
    tool("check_dataset", root / "boxes.json", root / "images", "--json", out, status=0)
    assert json.loads(out.read_text(encoding="utf-8"))["stops_training"] is False
    (tmp_path / "file").touch()
    monkeypatch.setattr("dataset_checks.dataset_check.image_findings", pytest.fail)
    for path in (tmp_path, tmp_path / "file" / "report.json"):
        with pytest.raises(
            OSError, match=r"is a folder\. Pass a file in it|exists|Not a directory"
        ):
            tool("check_dataset", root / "boxes.json", root / "images", "--json", path)


@pytest.mark.parametrize("with_checkpoint", [True, False])
def test_browse_pseudo_labels(tool, folder, tmp_path, with_checkpoint):
    checkpoint = [folder / "epoch_2.pth"] * with_checkpoint
    out = tmp_path / "bilder ö"
    output = tool(
        "browse_pseudo_labels", folder / "config.py", *checkpoint, "--out", out, "--limit", 3
    )
    assert "Drawings (boxes | student | teacher): 3 in" in output
    assert sorted(path.name for path in out.iterdir()) == ["0000.png", "0001.png", "0002.png"]
    assert cv2.imread(str(out / "0000.png")).shape == (96, 3 * 96, 3)


def test_browse_pseudo_labels_refuses_other_models_and_missing_files(tool, folder, tmp_path):
    config = Config.fromfile(folder / "config.py")
    config.model = tiny_solov2(box_supervised=False)
    config.dump(tmp_path / "stock.py")
    with pytest.raises(ValueError, match="`structured_teacher`, but got a SOLOv2 without"):
        tool("browse_pseudo_labels", tmp_path / "stock.py")
    config.model, config.train_dataloader = tiny_solov2(), None
    config.dump(tmp_path / "test.py")
    with pytest.raises(ValueError, match=r"test\.py' to be a config .* with 'train_dataloader'"):
        tool("browse_pseudo_labels", tmp_path / "test.py")
    with pytest.raises(SystemExit):
        tool("browse_pseudo_labels", folder / "config.py", "--limit", 0)
    with pytest.raises(FileNotFoundError, match="Expected a checkpoint at"):
        tool("browse_pseudo_labels", folder / "config.py", tmp_path / "nowhere.pth")


def test_image_demo(tool, folder, tmp_path):
    out = tmp_path / "ergebnis é"
    arguments = (folder / "set" / "images" / "1.png", folder / "config.py")
    options = ("--out-dir", out, "--score-thr", 0, "--device", "cpu")
    tool("image_demo", *arguments, folder / "epoch_2.pth", *options, status=0)
    assert cv2.imread(str(out / "vis" / "1.png")).shape == (96, 96, 3)
    plain = json.loads((out / "preds" / "1.json").read_text())
    assert len(plain["bboxes"]) > 0
    options += ("--cfg-options", "model.prediction_refiner.min_score=0")
    tool("image_demo", *arguments, folder / "epoch_2.pth", *options, status=0)
    refined = json.loads((out / "preds" / "1.json").read_text())
    assert refined["scores"] == plain["scores"]
    assert refined["masks"] != plain["masks"]
    with pytest.raises(FileNotFoundError, match="Expected a file at"):
        tool("image_demo", *arguments, tmp_path / "no.pth", *options)
    (tmp_path / "broken.pth").write_bytes((folder / "epoch_2.pth").read_bytes()[:-500])
    with pytest.raises(ValueError, match="broken.pth' to be a checkpoint, but torch cannot"):
        tool("image_demo", *arguments, tmp_path / "broken.pth", *options)
    options += ("model.mask_head.num_classes=4",)
    with pytest.raises(ValueError, match="Use the config of the training"):
        tool("image_demo", *arguments, folder / "epoch_2.pth", *options)


def test_image_demo_refuses_what_it_cannot_use(tool, folder, tmp_path):
    image, config, weights = (
        folder / "set/images/1.png",
        folder / "config.py",
        folder / "epoch_2.pth",
    )
    out = ("--out-dir", tmp_path / "out", "--device", "cpu")
    (tmp_path / "bad.py").write_text("model = dict(\n")
    (tmp_path / "none.py").write_text("a = 1\n")
    for wrong, message in (
        (tmp_path / "bad.py", r"bad\.py' to be a config of mmdet, but it is no valid Python"),
        (
            tmp_path / "none.py",
            r"none\.py' to be a config of mmdet with 'model', but its keys are a",
        ),
        (folder / "set" / "boxes.json", r"boxes\.json' to be a config .* with 'model'"),
    ):
        with pytest.raises(ValueError, match=message):
            tool("image_demo", image, wrong, weights, *out)
    with pytest.raises(
        ValueError, match="Expected a device that PyTorch can use here, .* 'cuda:99'"
    ):
        tool("image_demo", image, config, weights, *out[:2], "--device", "cuda:99")
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="Expected --out-dir to be a folder for 'vis'"):
        tool("image_demo", image, config, weights, "--out-dir", tmp_path / "file")
    cv2.imwrite(str(tmp_path / "thin.png"), np.zeros((1, 900, 3), np.uint8))
    output = tool("image_demo", tmp_path / "thin.png", config, weights, *out, status=1)
    assert "one of 900 x 1 is so elongated that a side vanishes" in output


def test_image_demo_of_folders(tool, folder, tmp_path):
    images, out = tmp_path / "images", tmp_path / "images" / "out"
    content = (folder / "set" / "images" / "1.png").read_bytes()
    names = "IMG_1.PNG sub/x/a.png sub/x/a.jfif b.JPG c.pgm .hidden.png note.txt"
    for name in names.split():
        (images / name).parent.mkdir(parents=True, exist_ok=True)
        (images / name).write_bytes(content)
    line = ("image_demo", images, folder / "config.py", folder / "epoch_2.pth", "--out-dir", out)
    tool(*line, "--device", "cpu", status=0)
    tool(*line, "--device", "cpu", status=0)  # its drawings are no images
    drawn = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert drawn == {
        "vis/IMG_1.PNG", "vis/b.JPG", "vis/c.pgm.png", "vis/sub/x/a.png", "vis/sub/x/a.jfif.png",
        "preds/IMG_1.json", "preds/b.json", "preds/c.json", "preds/sub/x/a.png.json",
        "preds/sub/x/a.jfif.json",
    }  # fmt: skip
    assert all(cv2.imread(str(path)) is not None for path in (out / "vis").rglob("*.*"))
    (images / "a.gif").write_bytes(b"<html>404</html>")
    (images / "b.JPG").write_bytes(b"")
    output = tool(*line, "--device", "cpu", status=1)
    assert "Drawings of 4 images" in output
    assert "2 images have no prediction" in output
    assert "- 'a.gif': Expected an image at" in output
    assert "- 'b.JPG': Expected an image at" in output
    (tmp_path / "empty" / "sub").mkdir(parents=True)
    (tmp_path / "empty" / "sub" / "a.heic").touch()
    with pytest.raises(ValueError, match=r"Expected images \(.jpg, .* found none among 1 files"):
        tool("image_demo", tmp_path / "empty", *line[2:])


def test_image_demo_beside_and_over_its_images(tool, folder, tmp_path):
    content = (folder / "set" / "images" / "1.png").read_bytes()
    for name in ("set/images", "vis"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "a.png").write_bytes(content)
    images = tmp_path / "set" / "images"
    line = (folder / "config.py", folder / "epoch_2.pth", "--device", "cpu", "--out-dir")
    for out in (tmp_path / "set", images, images):  # its drawings are no images
        assert "of 1 images" in tool("image_demo", images, *line, out, status=0)
    for image in (tmp_path / "vis" / "a.png", tmp_path / "vis"):
        with pytest.raises(ValueError, match="outside .*vis', where their drawings are written"):
            tool("image_demo", image, *line, tmp_path)
    assert (tmp_path / "vis" / "a.png").read_bytes() == content


def test_image_demo_without_names_of_classes_and_visualizer(tool, folder, tmp_path):
    config = Config.fromfile(folder / "config.py")
    config.pop("visualizer")
    config.test_dataloader.dataset.pop("metainfo")
    config.dump(tmp_path / "config.py")
    weights = torch.load(folder / "epoch_2.pth", weights_only=True)["state_dict"]
    torch.save(weights, tmp_path / "weights.pth")
    image, out = folder / "set" / "images" / "1.png", tmp_path / "out"
    line = (image, tmp_path / "config.py", tmp_path / "weights.pth", "--out-dir", out)
    tool("image_demo", *line, "--score-thr", 0, "--device", "cpu", status=0)
    assert (out / "vis" / "1.png").is_file()
    assert json.loads((out / "preds" / "1.json").read_text())["labels"]
