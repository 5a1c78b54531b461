from __future__ import annotations

import contextlib
import io
import json
import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from scenes import CLASSES, KEYPOINTS, make_dataset

SETTINGS = dict(num_train=4, num_val=3, image_size=96, seed=5)
JSON_FILES = ("train_boxes.json", "train_full.json", "val.json")


@pytest.fixture
def dataset(tmp_path):
    return make_dataset(tmp_path / "scenes", **SETTINGS)


def contents(root):
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def load(root, name):
    return json.loads((root / name).read_text())


def open_coco(path):
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(path))


def test_equal_settings_give_equal_files(dataset, tmp_path):
    again = make_dataset(tmp_path / "again", **SETTINGS)
    other = make_dataset(tmp_path / "other", **{**SETTINGS, "seed": 6})
    assert contents(again) == contents(dataset)
    assert (other / "images/train/00000.jpg").read_bytes() != (
        dataset / "images/train/00000.jpg"
    ).read_bytes()


def test_images_do_not_depend_on_their_number(dataset, tmp_path):
    more = contents(make_dataset(tmp_path / "more", **{**SETTINGS, "num_train": 6}))
    images = {name: code for name, code in contents(dataset).items() if name.endswith(".jpg")}
    assert images.items() <= more.items()
    assert images["images/train/00000.jpg"] != images["images/val/00000.jpg"]


def test_a_second_call_does_nothing(dataset):
    before = {path: path.stat().st_mtime_ns for path in dataset.rglob("*")}
    make_dataset(dataset, **SETTINGS)
    assert {path: path.stat().st_mtime_ns for path in dataset.rglob("*")} == before


@pytest.mark.parametrize("lost", ["scenes_info.json", "val.json", "images/train/00002.jpg"])
def test_the_next_call_heals_an_interrupted_one(dataset, lost):
    before = contents(dataset)
    (dataset / lost).unlink()
    if lost == "scenes_info.json":
        (dataset / "images/train/00001.jpg").write_bytes(b"half")
    assert contents(make_dataset(dataset, **SETTINGS)) == before


def test_other_settings_replace_a_data_set(dataset, tmp_path):
    make_dataset(dataset, **{**SETTINGS, "seed": 6})
    assert contents(dataset) == contents(make_dataset(tmp_path / "new", **{**SETTINGS, "seed": 6}))


def test_box_file_holds_nothing_but_boxes(dataset):
    boxes, full = load(dataset, "train_boxes.json"), load(dataset, "train_full.json")
    allowed = {"id", "image_id", "category_id", "bbox", "iscrowd"}
    assert all(set(annotation) == allowed for annotation in boxes["annotations"])
    assert boxes["images"] == full["images"]
    for box, everything in zip(boxes["annotations"], full["annotations"], strict=True):
        assert box.items() <= everything.items()


@pytest.mark.parametrize("name", JSON_FILES)
def test_files_are_coco(dataset, name):
    coco = open_coco(dataset / name)
    assert [category["name"] for category in coco.loadCats(coco.getCatIds())] == list(CLASSES)
    for category in coco.loadCats(coco.getCatIds()):
        assert tuple(category["keypoints"]) == KEYPOINTS[category["name"]]
    for entry in coco.loadImgs(coco.getImgIds()):
        image = cv2.imread(str(dataset / entry["file_name"]))
        assert image.shape == (entry["height"], entry["width"], 3)
        assert coco.getAnnIds(entry["id"])


def test_annotations_agree_with_their_masks(dataset):
    coco = open_coco(dataset / "val.json")
    for annotation in coco.loadAnns(coco.getAnnIds()):
        mask, (x, y, w, h) = coco.annToMask(annotation), np.int64(annotation["bbox"])
        assert annotation["area"] == mask.sum() == mask[y : y + h, x : x + w].sum()
        visibility = annotation["keypoints"][2::3]
        assert annotation["num_keypoints"] == sum(v > 0 for v in visibility)


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_the_truth_scores_one(dataset, kind):
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(dataset / "val.json"))
        fields = ("image_id", "category_id", "bbox" if kind == "bbox" else "segmentation")
        found = [
            {**{field: annotation[field] for field in fields}, "score": 1.0}
            for annotation in truth.loadAnns(truth.getAnnIds())
        ]
        evaluation = COCOeval(truth, truth.loadRes(found), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1.0)


def test_command_line_writes_the_same_files(dataset, tmp_path, monkeypatch):
    options = [f"--{name.replace('_', '-')}={value}" for name, value in SETTINGS.items()]
    tool = Path(__file__).parents[2] / "demo" / "make_scenes.py"
    monkeypatch.setattr(sys, "argv", [str(tool), str(tmp_path / "tool"), *options])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(tool), run_name="__main__")
    assert not ended.value.code
    assert contents(tmp_path / "tool") == contents(dataset)


@pytest.mark.parametrize(
    "wrong", [{"num_train": 0}, {"num_val": 0}, {"image_size": 32}, {"seed": -1}]
)
def test_impossible_data_sets_are_refused(tmp_path, wrong):
    with pytest.raises(ValueError, match="Expected at least one image per split"):
        make_dataset(tmp_path / "none", **{**SETTINGS, **wrong})
    assert not (tmp_path / "none").exists()
