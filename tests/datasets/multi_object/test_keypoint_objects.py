from __future__ import annotations

import copy
import json

import numpy as np
import pytest

from mmdet_discobox.datasets.multi_object import keypoint_objects, read_coco_keypoints
from multi_object_pairs import make_object_pairs


def annotation(ann_id, image_id, keypoints, **fields):
    base = {"id": ann_id, "image_id": image_id, "category_id": 7, "bbox": [1, 2, 10, 20]}
    return {**base, "keypoints": keypoints, **fields}


CONTENT = {
    "images": [
        {"id": image_id, "file_name": f"{image_id}.png", "width": 60, "height": 40}
        for image_id in (30, 10, 20)
    ],
    "categories": [
        {"id": 9, "name": "dog"},
        {"id": 7, "name": "cat", "keypoints": ["nose", "tail"]},
    ],
    "annotations": [
        annotation(1, 10, [5, 6, 2, 7, 8, 1]),
        annotation(2, 30, [3, 4, 2, 0, 0, 0]),
        annotation(3, 20, [1, 1, 2], category_id=9),
        annotation(4, 20, [9, 9, 2, 8, 8, 2], iscrowd=1),
        {"id": 5, "image_id": 20, "category_id": 7, "bbox": [0, 0, 5, 5]},
    ],
}


@pytest.fixture
def write(tmp_path):
    def to_file(content):
        path = tmp_path / "keypoints.json"
        path.write_text(json.dumps(content))
        return path

    return to_file


def test_reads_objects_in_the_order_of_their_images(write):
    found = read_coco_keypoints(write(CONTENT))
    assert found.images == ("30.png", "10.png", "20.png")
    assert found.classes == ("dog", "cat")
    np.testing.assert_array_equal(found.image_index, [0, 1, 2, 2])
    np.testing.assert_array_equal(found.labels, [1, 1, 0, 1])
    np.testing.assert_array_equal(found.boxes[0], [1, 2, 11, 22])
    np.testing.assert_array_equal(found.visible, [[1, 0], [1, 0], [1, 0], [0, 0]])
    np.testing.assert_array_equal(found.keypoints[:3, 0], [[3, 4], [5, 6], [1, 1]])
    assert make_object_pairs(found).object_pairs.tolist() == [[0, 1]]


@pytest.mark.parametrize(
    "bbox", [[40, 30, 0, 5], [40, 30, 5, 0], [60, 0, 5, 5], [-5, 0, 5, 5], [16, 0, 1e-7, 5]]
)
@pytest.mark.parametrize("place", [0, 4])
def test_boxes_without_area_are_skipped(write, monkeypatch, bbox, place):
    """The last object is in no pair, but is described with its image all the same."""
    lines = []
    monkeypatch.setattr(keypoint_objects, "print_log", lambda text, **_: lines.append(text))
    content = copy.deepcopy(CONTENT)
    content["annotations"][place]["bbox"] = bbox
    found = read_coco_keypoints(write(content))
    assert len(found) == 3
    assert (found.boxes[:, 2:] > found.boxes[:, :2]).all()
    assert "of 4 objects, 1 are skipped" in lines[0]
    assert len(make_object_pairs(found)) == (place == 4)


@pytest.mark.parametrize("flag", [{"ignore": 1}, {"ignore": True, "iscrowd": 0}, {"iscrowd": "1"}])
def test_every_mark_of_a_crowd_is_read(write, flag):
    """As in training and in the other metrics."""
    content = copy.deepcopy(CONTENT)
    content["annotations"][0].update(flag)
    found = read_coco_keypoints(write(content))
    np.testing.assert_array_equal(found.image_index, [0, 2, 2])


def test_hidden_key_points_on_demand(write):
    found = read_coco_keypoints(write(CONTENT), min_visibility=1)
    np.testing.assert_array_equal(found.visible[1], [1, 1])
    np.testing.assert_array_equal(found.keypoints[1, 1], [7, 8])


@pytest.mark.parametrize("keypoints", [[1, 2, 2], [1, 2, 2, 3, 4], "123456", [0, 1, "2"] * 2])
def test_invalid_key_points_are_refused(write, keypoints):
    content = copy.deepcopy(CONTENT)
    content["annotations"][1]["keypoints"] = keypoints
    with pytest.raises(ValueError, match=r"`keypoints` of annotation 2 .* to be 6 numbers"):
        read_coco_keypoints(write(content))


def test_a_json_without_key_points_is_refused(write):
    content = copy.deepcopy(CONTENT)
    for item in (*content["annotations"], *content["categories"]):
        item.pop("keypoints", None)
    with pytest.raises(ValueError, match="objects with `keypoints`, but found none"):
        read_coco_keypoints(write(content))
