"""`check_dataset.py --write-config --val`: the evaluation in the config that it writes."""

from __future__ import annotations

import json
import shutil

import pytest
from mmdet.registry import METRICS
from mmengine.config import Config
from tiny import write_boxes

from mmdet_discobox.utils.versions import distribution_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_boxes(tmp_path_factory.mktemp("validated") / "set", num_images=5)


def write(check, folder, path, *options):
    return check(folder / "boxes.json", folder / "images", "--write-config", path, *options)


def test_without_a_json_to_validate_on_tests_run_on_the_training_images(check, folder, tmp_path):
    write(check, folder, tmp_path / "own.py")
    config = Config.fromfile(tmp_path / "own.py")
    assert (config.val_dataloader, config.val_evaluator, config.val_cfg) == (None, None, None)
    assert config.test_dataloader.dataset.ann_file == config.train_dataloader.dataset.ann_file
    assert config.test_evaluator.metric == "bbox"


def test_images_that_are_trained_on_as_well_are_named(check, folder, tmp_path):
    content = json.loads((folder / "boxes.json").read_text())
    images = tmp_path / "others"
    shutil.copytree(folder / "images", images)
    (tmp_path / "val.json").write_text(json.dumps(dict(content, images=content["images"])))
    options = ("--val", tmp_path / "val.json")
    message = f"{len(content['images'])} of {len(content['images'])} images are trained on as well"
    assert message in write(check, folder, tmp_path / "same.py", *options)
    options += ("--val-img-dir", images)
    assert "trained on as well" not in write(check, folder, tmp_path / "others.py", *options)


def test_masks_and_folder_of_the_validation(check, folder, tmp_path):
    images = tmp_path / "others"
    shutil.copytree(folder / "images", images)
    options = ("--val", folder / "masks.json", "--val-img-dir", images)
    output = write(check, folder, tmp_path / "my own.py", *options)
    assert f"mim train {distribution_of('mmdet')} '{tmp_path / 'my own.py'}'" in output
    config = Config.fromfile(tmp_path / "my own.py")
    assert config.val_evaluator.metric == ["bbox", "segm"]
    assert config.val_dataloader.dataset.data_prefix.img == f"{images.as_posix()}/"


def test_the_command_names_mmdet_as_the_mim_of_the_fork_does(check, folder, tmp_path, monkeypatch):
    forked = {"onedl-mmdetection": "3.5.0"}
    monkeypatch.setattr("mmdet_discobox.utils.versions.installed_version", forked.get)
    output = write(check, folder, tmp_path / "own.py")
    assert f"mim train onedl-mmdetection {tmp_path / 'own.py'}" in output


def test_boxes_of_other_classes_are_not_evaluated(check, folder, tmp_path):
    """A json to validate on may have more classes than the training."""
    content = json.loads((folder / "boxes.json").read_text())
    content["categories"][:0] = [dict(id=90, name="none"), dict(id=91, name="cat")]
    (tmp_path / "val.json").write_text(json.dumps(content))
    options = ("--val", tmp_path / "val.json")
    assert "not evaluated" not in write(check, folder, tmp_path / "no_boxes.py", *options)
    extra = [dict(a, id=1000 + a["id"], category_id=91) for a in content["annotations"]]
    content["annotations"] += extra
    (tmp_path / "val.json").write_text(json.dumps(content))
    output = write(check, folder, tmp_path / "own.py", *options)
    count = len(extra)
    assert f"{count} of {2 * count} boxes are not evaluated: they belong to 1 classes" in output
    assert f"- 'cat': {count} boxes" in output
    config = Config.fromfile(tmp_path / "own.py")
    metric = METRICS.build(config.val_evaluator)
    metric.dataset_meta = dict(classes=config.classes)
    evaluated = metric._coco_api.get_cat_ids(cat_names=config.classes)
    assert len(metric._coco_api.get_ann_ids(cat_ids=evaluated)) == count


def test_auto_labels_are_no_truth_to_validate_on(check, folder, tmp_path):
    content = json.loads((folder / "masks.json").read_text())
    content["annotations"][0]["mask_source"] = "machine"
    (tmp_path / "val.json").write_text(json.dumps(content))
    write(check, folder, tmp_path / "own.py", "--val", tmp_path / "val.json")
    assert Config.fromfile(tmp_path / "own.py").val_evaluator.metric == "bbox"


def test_a_crowd_without_a_mask_to_validate_on(check, folder, tmp_path):
    """The evaluator of the written config accepts what was chosen for it."""
    content = json.loads((folder / "masks.json").read_text())
    content["annotations"][0]["iscrowd"] = 1
    del content["annotations"][0]["segmentation"]
    (tmp_path / "val.json").write_text(json.dumps(content))
    write(check, folder, tmp_path / "own.py", "--val", tmp_path / "val.json")
    evaluator = Config.fromfile(tmp_path / "own.py").val_evaluator
    assert evaluator.metric == "bbox"
    METRICS.build(evaluator)
