"""Boxes that hurt training are reported once, with their location."""

from __future__ import annotations

import numpy as np
import pytest
from checked_data import GOOD, HEIGHT, WIDTH, coco, only, texts

from dataset_checks import TrainingSettings
from dataset_checks.box_findings import _find_duplicates


@pytest.mark.parametrize(
    ("boxes", "level", "words"),
    [
        ([GOOD, [5, 5, 0.4, 9]], "warning", "1 boxes are thinner than a pixel and are dropped"),
        ([GOOD, [96, 5, 9, 9]], "warning", "1 boxes lie outside their image and are dropped"),
        ([GOOD, [90, 5, 20, 9]], "warning", "1 boxes extend past the image border"),
        ([GOOD, [4, 4, 20, 19]], "warning", "1 boxes duplicate another box"),
        ([GOOD, [60, 5, 30, 3]], "warning", "1 boxes are narrower than 4 pixels"),
    ],
)
def test_boxes_are_reported_with_their_location(check, boxes, level, words):
    finding = only(check(coco(*boxes)), level)
    assert words in finding
    assert f"annotation 2 ('Straße 图.png'): bbox {boxes[1]}" in finding


def test_boxes_at_the_border_are_valid(check):
    assert check(coco([-1, -1, 97, 40], [0, 0, WIDTH, HEIGHT])).findings == ()


def test_boxes_of_no_level_are_reported(check):
    ranges = TrainingSettings(image_scale=None, scale_ranges=((10, 20), (15, 30)))
    report = check(coco([4, 4, 20, 20], [40, 4, 50, 50], [4, 40, 6, 6]), settings=ranges)
    assert "2 boxes are in no scale range of the config and never trained (smallest 10" in only(
        report, "warning"
    )
    assert report.suggestions.present_shares == (1 / 3, 1 / 3)


def test_sizes_are_those_after_resizing(check):
    enlarged = TrainingSettings(image_scale=(960, 640))  # ten times
    assert check(coco(GOOD, [40, 4, 1, 1]), settings=enlarged).findings == ()
    assert enlarged.scale_factors(np.array([[96.0, 64.0], [64.0, 96.0], [10, 320]])).tolist() == [
        10,
        10,
        3,
    ]


def test_crowd_and_ignored_boxes_are_notes(check):
    content = coco(GOOD, [30, 4, 20, 20], [60, 4, 0.2, 0.2])
    content["annotations"][1]["iscrowd"] = 1
    content["annotations"][2]["ignore"] = 1
    assert [t.split(" and")[0] for t in texts(check(content), "note")] == [
        "note: 1 boxes have `iscrowd` set",
        "note: 1 boxes have `ignore` set",
    ]


def test_a_data_set_without_boxes_is_an_error(check):
    report = check(coco())
    assert "error: There is no box to train on" in texts(report, "error")[0]
    assert check(coco(GOOD, iscrowd=1)).stops_training


def test_images_without_boxes_and_files_of_several_images(check):
    content = coco(GOOD)
    content["images"].append({**content["images"][0], "id": 2})
    report = check(content)
    warning = texts(report, "warning")[0]
    assert "1 files are named by several images" in warning
    assert "by the images 1, 2" in warning
    assert "1 of 2 images have no box" in texts(report, "note")[0]


def _iou(first, second):
    low, high = np.maximum(first[:2], second[:2]), np.minimum(first[2:], second[2:])
    overlap = np.prod((high - low).clip(0))
    areas = [np.prod(box[2:] - box[:2]) for box in (first, second)]
    return overlap / (sum(areas) - overlap)


def test_duplicates_agree_with_two_loops():
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 6, (1500, 2)).astype(float)
    corners = np.concatenate([corners, corners + rng.integers(8, 30, (1500, 2))], 1)
    expected = [
        any(_iou(corners[i], corners[j]) >= 0.9 for j in range(i)) for i in range(0, 1500, 25)
    ]
    assert _find_duplicates(corners)[::25].tolist() == expected
    assert 0 < sum(expected) < len(expected)


def test_thousands_of_boxes_on_one_image(check):
    boxes = [[x, y, 1, 1] for x in range(WIDTH) for y in range(HEIGHT)]
    report = check(coco(*boxes))
    assert report.counts["boxes"] == WIDTH * HEIGHT
    assert "... and 6139 more" in only(report, "warning")


def test_images_that_vanish_when_resized_are_errors(check):
    report = check(coco(GOOD), settings=TrainingSettings(image_scale=(96, 0.3)))
    assert "1 images are so elongated that a side vanishes" in "".join(texts(report, "error"))


@pytest.mark.parametrize("filtered", [dict(filter_empty=True), dict(min_size=HEIGHT + 1)])
def test_images_that_the_config_leaves_out(check, filtered):
    content = coco(GOOD)
    content["images"].append({**content["images"][0], "id": 2})
    report = check(content, settings=TrainingSettings(image_scale=None, **filtered))
    if "filter_empty" in filtered:
        assert "1 of 2 images have no box. The config leaves them out" in str(report)
        content["annotations"].append(dict(content["annotations"][0], id=2, image_id=3, iscrowd=1))
        content["images"].append({**content["images"][0], "id": 3})
        report = check(content, settings=TrainingSettings(image_scale=None, **filtered))
        assert "2 of 3 images have no box. The config leaves out 1 of them, which" in str(report)
    else:
        assert "2 images are smaller than 65 pixels and are left out" in str(report)
        assert "`filter_cfg` of the config leaves out every image" in str(report)
