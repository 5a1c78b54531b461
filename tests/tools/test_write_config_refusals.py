"""`check_dataset.py --write-config` writes nothing for data or options that cannot train."""

from __future__ import annotations

import json
import shutil

import pytest
from tiny import write_boxes


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_boxes(tmp_path_factory.mktemp("refused") / "set", num_images=5)


def write(check, folder, path, *options):
    return check(folder / "boxes.json", folder / "images", "--write-config", path, *options)


def edit(content, *keys, value):
    for key in keys[:-1]:
        content = content[key]
    content[keys[-1]] = value


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (["images"], [], "there are no images"),
        (["images", 0, "file_name"], "gone.png", "1 image files are missing"),
        (["images", 0, "width"], 48, "1 images have another size than in the json"),
    ],
)
def test_the_json_to_validate_on_is_checked_as_that_to_train_on(
    keys, value, message, check, folder, tmp_path
):
    content = json.loads((folder / "boxes.json").read_text())
    edit(content, *keys, value=value)
    if keys == ["images"]:
        content["annotations"] = []
    (tmp_path / "val.json").write_text(json.dumps(content))
    options = ("--val", tmp_path / "val.json", "--json", tmp_path / "report.json")
    line = (folder / "boxes.json", folder / "images", "--write-config", tmp_path / "own.py")
    output = check(*line, *options, status=1)
    assert message in output
    assert "No config was written" in output
    assert not (tmp_path / "own.py").exists()
    assert json.loads((tmp_path / "report.json").read_text())["validation"]["stops_training"]


@pytest.mark.parametrize("section", ["images", "categories"])
def test_nothing_is_written_without_images_or_classes(section, check, folder, tmp_path):
    content = json.loads((folder / "boxes.json").read_text())
    content |= {section: [], "annotations": []}
    (tmp_path / "boxes.json").write_text(json.dumps(content))
    arguments = (tmp_path / "boxes.json", folder / "images")
    for options in ((), ("--write-config", tmp_path / "own.py")):
        assert f"there are no {section}" in check(*arguments, *options, status=1)


def test_templates_of_mmengine_are_refused(check, folder, tmp_path):
    content = json.loads((folder / "boxes.json").read_text())
    content["categories"][0]["name"] = "{{ fileDirname }}"
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="mmengine replaces in configs, but got '{{ fileDirname"):
        check(path, folder / "images", "--write-config", tmp_path / "own.py")
    path = tmp_path / "{{x}}.json"
    shutil.copy(folder / "boxes.json", path)
    with pytest.raises(ValueError, match=r"{{x}}\.json"):
        check(path, folder / "images", "--write-config", tmp_path / "own.py")


def test_nothing_is_written_for_data_with_errors(check, folder, tmp_path):
    content = json.loads((folder / "boxes.json").read_text())
    content["images"][1]["file_name"] = "gone.png"
    (tmp_path / "boxes.json").write_text(json.dumps(content))
    arguments = (tmp_path / "boxes.json", folder / "images", "--write-config", tmp_path / "own.py")
    assert "No config was written" in check(*arguments, status=1)
    content["annotations"][0]["bbox"] = [1, 2]
    (tmp_path / "boxes.json").write_text(json.dumps(content))
    assert "No config was written" in check(*arguments, status=1)
    del content["images"][1]["file_name"]
    (tmp_path / "boxes.json").write_text(json.dumps(content))
    output = check(*arguments, "--val", folder / "boxes.json", status=1)
    assert "file_name" in output
    assert "No config was written" in output
    assert not (tmp_path / "own.py").exists()


def test_classes_to_validate_on_have_the_order_of_the_training(check, folder, tmp_path):
    content = json.loads((folder / "boxes.json").read_text())
    content["categories"].reverse()
    (tmp_path / "val.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"order of the training, \['one', .* are \['three', "):
        write(check, folder, tmp_path / "own.py", "--val", tmp_path / "val.json")


def test_a_validation_without_a_class_is_an_error(check, folder, tmp_path):
    content = json.loads((folder / "boxes.json").read_text())
    content["categories"][2]["name"] = "other"
    (tmp_path / "val.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"val\.json' to have all classes .* lacks 'three'"):
        write(check, folder, tmp_path / "own.py", "--val", tmp_path / "val.json")


def test_masks_are_asked_for_but_there_are_none(check, folder, tmp_path):
    content = json.loads((folder / "masks.json").read_text())
    for annotation in content["annotations"]:
        annotation["mask_source"] = "machine"
    (tmp_path / "boxes.json").write_text(json.dumps(content))
    line = (tmp_path / "boxes.json", folder / "images", "--write-config", tmp_path / "own.py")
    with pytest.raises(ValueError, match=r"Expected masks of a person in .*boxes\.json"):
        check(*line, "--use-masks")
    assert not (tmp_path / "own.py").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--write-config", "own.txt"], "no ending .py"),
        (["--write-config", "there.py"], "exists"),
        (["--write-config", "own.py", "--config", "there.py"], "one of them"),
        (["--use-masks"], "--use-masks belongs to --write-config"),
        (["--val", "val.json"], "belong to --write-config. To check a json without"),
        (["--write-config", "own.py", "--val-img-dir", "images"], "belongs to --val"),
    ],
)
def test_options_that_contradict(check, folder, tmp_path, monkeypatch, capsys, options, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.py").touch()
    with pytest.raises(SystemExit):
        check(folder / "boxes.json", folder / "images", *options)
    assert message in capsys.readouterr().err
