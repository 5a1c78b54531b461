"""The check reports each fault once with its location, and nothing for a good data set."""

from __future__ import annotations

import copy
import json

import pytest
from checked_data import GOOD, PLAIN, coco, only
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_checks import TrainingSettings, check_dataset


def test_a_good_data_set_has_no_findings(check):
    report = check(coco([4, 4, 20, 20], [50, 10, 30, 40]))
    assert report.findings == ()
    assert not report.stops_training
    assert "1 images, 2 boxes, 1 classes\n\nNo problem found." in str(report)
    assert "classes=('猫',)" in str(report)
    assert json.loads(json.dumps(report.as_json()))["counts"]["boxes"] == 2


def test_classes_are_compared_with_the_config(check):
    content = coco(GOOD)
    content["categories"].append(dict(id=2, name="dog"))
    assert "1 classes have no box to train on" in only(check(content), "warning")
    counts = dict(mask_head=1, bbox_head=80)
    wrong = TrainingSettings(image_scale=None, num_classes=counts, classes=("猫",))
    assert "`num_classes` of `bbox_head` is 80, but the classes are '猫'" in only(
        check(content, settings=wrong), "error"
    )
    unknown = TrainingSettings(image_scale=None, classes=("bird",))
    assert "has names that the json does not have: 'bird'" in only(
        check(content, settings=unknown), "error"
    )
    content["annotations"].append(dict(id=9, image_id=1, category_id=2, bbox=[40, 4, 20, 20]))
    cats = TrainingSettings(image_scale=None, classes=("猫",))
    assert "1 boxes belong to classes that" in only(check(content, settings=cats), "note")
    content["categories"][1]["name"] = "猫"
    assert "its name is that of category 1. Merge the categories" in only(check(content), "error")


def test_problems_of_the_json_are_errors(check):
    content = coco(GOOD, [1, 1, -4, 5])
    report = check(content)
    assert "expected no negative width or height" in only(report, "error")
    (finding,) = report.as_json()["findings"]
    assert finding["fix"] == report.findings[0].fix
    assert "error: annotation 2 (image 1" in str(report)
    assert report.suggestions is None
    many = check(coco(*[[1, 1, -4, 5]] * 30))
    assert len(many.findings) == 30
    assert str(many).endswith("... and 10 more findings")


def test_missing_files_and_folders(check, tmp_path):
    content = coco(GOOD)
    content["images"][0]["file_name"] = "gone.png"
    assert "1 image files are missing" in only(check(content), "error")
    content["images"][0]["file_name"] = "nul\0.png"
    assert "1 image files are missing" in only(check(content), "error")
    with pytest.raises(FileNotFoundError, match="a folder of images"):
        check_dataset(tmp_path / "boxes.json", tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="no such file"):
        check_dataset(tmp_path / "nowhere.json", tmp_path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["images", "annotations", "categories"]), st.data())
def test_any_value_in_any_field_gives_a_report(tmp_path_factory, section, data):
    folder = tmp_path_factory.mktemp("fuzz")
    content = copy.deepcopy(coco(GOOD, [1, 2, 3, 4]))
    record = content[section][0]
    record[data.draw(st.sampled_from(sorted(record)))] = data.draw(JSON)
    (folder / "boxes.json").write_text(json.dumps(content))
    report = check_dataset(folder / "boxes.json", folder, settings=PLAIN)
    assert report.stops_training  # at least: the image is missing
    assert str(report)
