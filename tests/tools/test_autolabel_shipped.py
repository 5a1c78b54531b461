"""`autolabel.py` with the shipped labeller: without a config, for some classes, in the loop."""

from __future__ import annotations

import json

import pytest
from autolabel_runs import annotations, finish
from tiny import write_boxes


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_boxes(tmp_path_factory.mktemp("boxes"), num_images=5)


@pytest.fixture
def paths(root, tmp_path):
    return root / "boxes.json", root / "images", tmp_path / "out.json"


def test_three_paths_are_enough(root, paths):
    output = finish(*paths, "--truth", root / "masks.json")
    assert f"8 masks: {paths[-1]}" in output
    # the rectangles of this set fill their boxes: only their masks' number and place can be asked
    assert "8 boxes: mean IoU" in output
    assert all(0 < a["area"] <= a["bbox"][2] * a["bbox"][3] for a in annotations(paths[-1]))


def test_the_other_classes_stay_as_they_are(root, paths):
    dataset = json.loads(paths[0].read_text())
    mine = dataset["annotations"][1]  # of class two
    mine.update(segmentation=[[1, 1, 9, 1, 9, 9]], area=32.0, iscrowd=0)
    boxes = paths[-1].with_name("boxes.json")
    boxes.write_text(json.dumps(dataset))
    output = finish(boxes, *paths[1:], "--classes", "one", "three")
    after = annotations(paths[-1])
    labelled = [a for a in after if "mask_quality" in a]
    assert {a["category_id"] for a in labelled} == {1, 3}
    assert f"{len(labelled)} masks" in output
    assert after[1] == mine
    wrong = finish(boxes, *paths[1:], "--classes", "four", status=1)
    assert "Expected --classes of the boxes but got four. Theirs are one, two, three." in wrong


def test_the_loop_from_boxes_to_accepted_masks_to_new_labels(root, paths, tmp_path):
    """Label, accept two masks, train on boxes and these, label the others anew; twice."""
    boxes, images, out = paths
    finish(*paths, "--report", tmp_path / "page")
    made = {a["id"]: a for a in annotations(out)}
    assert {a["mask_source"] for a in made.values()} == {"machine"}
    accepted = tmp_path / "accepted.json"
    accepted.write_text('{"accepted": [2, 5], "rejected": [1]}')
    following = tmp_path / "next.json"
    output = finish("--accepted", accepted, out, following, "--keep-boxes")
    assert f"8 boxes, 2 with a mask of a person: {following}" in output
    kept = {a["id"]: a for a in annotations(following)}
    assert [a["bbox"] for a in kept.values()] == [a["bbox"] for a in annotations(boxes)]
    assert {key for key, a in kept.items() if a.get("segmentation")} == {2, 5}
    assert all(kept[key]["mask_source"] == "person" for key in (2, 5))
    assert "mask_quality" not in kept[1]
    second = tmp_path / "second.json"
    page = tmp_path / "second page"
    output = finish("--fit", following, images, second, "--epochs", 1, "--report", page)
    assert "2 accepted masks are kept." in output
    assert "6 masks" in output
    labelled = {a["id"]: a for a in annotations(second)}
    for key in (2, 5):  # never overwritten
        assert labelled[key]["segmentation"] == made[key]["segmentation"]
        assert labelled[key]["mask_source"] == "person"
    assert all(labelled[key]["mask_source"] == "machine" for key in labelled if key not in (2, 5))
    assert '"earlier": 2' in (page / "index.html").read_text()
    config = (second.with_name("second.json.labeler") / "box_labeler_lite0.py").read_text()
    assert "true_masks=True" in config
    assert "mask_repeats=2" in config  # a quarter of the objects has a mask
    assert "LoadTrueMasks" in config
    accepted.write_text('{"accepted": [1]}')
    finish("--accepted", accepted, second, following, "--keep-boxes")
    third = [a["id"] for a in annotations(following) if a.get("segmentation")]
    assert third == [1, 2, 5]
