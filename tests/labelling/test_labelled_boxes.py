from __future__ import annotations

import copy

import numpy as np
import pytest

from autolabelling.truth import check_truth, compare_with_truth
from mmdet_discobox.labelling import add_masks
from mmdet_discobox.labelling.mask_encoding import encode_rle


def rectangle(x, y, width, height):
    mask = np.zeros((20, 30), bool)
    mask[y : y + height, x : x + width] = True
    return encode_rle(mask)


def boxes():
    annotations = [
        dict(id=7, image_id="a", category_id=3, bbox=[0, 0, 10, 10], colour="red", area=1.5),
        dict(id="x", image_id="a", category_id=3, bbox=[5, 5, 4, 4], iscrowd=0),
        dict(id=9, image_id="a", category_id=3, bbox=[40, 5, 4, 4]),
        dict(id=10, image_id="a", category_id=3, bbox=[0, 0, 9, 9], iscrowd=1, segmentation="own"),
    ]
    return dict(
        info=dict(year=2020),
        images=[dict(id="a", file_name="a.png", width=30, height=20)],
        annotations=annotations,
        categories=[dict(id=3, name="thing", supercategory="all")],
    )


RECORDS = {
    '"a"': dict(
        masks=[
            dict(id=7, segmentation=rectangle(0, 0, 10, 5), quality=0.5, predicted=True),
            dict(id="x", segmentation=rectangle(5, 5, 4, 4), quality=0.9, predicted=False),
        ],
        failed=[dict(id=9, reason="no area")],
    )
}


def test_everything_is_kept_and_masks_are_added():
    before = boxes()
    dataset = copy.deepcopy(before)
    labelled = add_masks(dataset, RECORDS)
    assert dataset == before
    after = labelled.dataset
    for key in ("info", "images", "categories"):
        assert after[key] == before[key]
    for old, new in zip(before["annotations"], after["annotations"], strict=True):
        assert {key: new[key] for key in old if key != "area"} == {
            key: value for key, value in old.items() if key != "area"
        }
    first, second, third, crowd = after["annotations"]
    assert first["segmentation"] == rectangle(0, 0, 10, 5)
    assert (first["area"], second["area"]) == (50, 16)  # of the masks, not 1.5 of the input
    assert (first["mask_quality"], first["iscrowd"]) == (0.5, 0)
    assert "segmentation" not in third
    assert (third["area"], third["iscrowd"]) == (0, 0)  # mmdet fails on boxes without a mask
    assert crowd == {**before["annotations"][3], "area": 81}
    assert labelled.failed == [(9, "no area")]
    assert labelled.unpredicted == 1
    assert labelled.unread == 0


@pytest.mark.parametrize("area", [0, 0.0, 100, None, "1234", float("nan")])
@pytest.mark.parametrize("iscrowd", [0, 1, None])
def test_area_and_iscrowd_belong_to_the_new_mask(area, iscrowd):
    dataset = boxes()
    dataset["annotations"][0].update(area=area, iscrowd=iscrowd, segmentation=[])
    first = add_masks(dataset, RECORDS).dataset["annotations"][0]
    assert (first["area"], first["iscrowd"]) == (50, 0)


def test_polygons():
    (first, *_) = add_masks(boxes(), RECORDS, polygons=True).dataset["annotations"]
    assert first["segmentation"] == [[0, 0, 0, 5, 10, 5, 10, 0]]


def test_truth_by_hand():
    """10 x 5 of 10 x 10 pixels are found, 0.5; the other mask is the true one, and its box."""
    truth = boxes()
    truth["annotations"][0]["segmentation"] = [[0, 0, 10, 0, 10, 10, 0, 10]]
    truth["annotations"][1]["segmentation"] = rectangle(5, 5, 4, 4)
    report = compare_with_truth(add_masks(boxes(), RECORDS).dataset, truth)
    assert report.ids == [7, "x"]
    assert report.ious.tolist() == pytest.approx([0.5, 1])
    assert report.box_ious.tolist() == pytest.approx([1, 1])
    assert report.rank_correlation == pytest.approx(1)
    assert "mean IoU 0.7500" in str(report)
    assert "left out" not in str(report)
    truth["annotations"][0]["iscrowd"] = 1
    report = compare_with_truth(add_masks(boxes(), RECORDS).dataset, truth)
    assert report.ids == ["x"]
    assert "; 1 masks without a true one are left out" in str(report)
    with pytest.raises(ValueError, match="to be of the same boxes"):
        check_truth(boxes(), boxes())
    report = compare_with_truth(boxes(), truth)  # a box that failed, after all others are written
    assert "there is nothing to compare" in str(report)


def test_only_masks_of_this_run_are_compared_with_the_truth():
    truth = boxes()
    truth["annotations"][0]["segmentation"] = [[0, 0, 10, 0, 10, 10, 0, 10]]
    truth["annotations"][1]["segmentation"] = rectangle(5, 5, 4, 4)
    dataset = boxes()
    dataset["categories"].append(dict(id=4, name="other"))
    dataset["annotations"][0].update(category_id=4, mask_quality=0.9)  # its mask was lost
    records = {'"a"': dict(RECORDS['"a"'], masks=RECORDS['"a"']["masks"][1:])}
    labelled = add_masks(dataset, records, classes=["thing"]).dataset
    assert compare_with_truth(labelled, truth, ["thing"]).ids == ["x"]
    del truth["annotations"][1]["segmentation"]
    with pytest.raises(ValueError, match="among those of the 2 boxes to label"):
        check_truth(dataset, truth, ["thing"])
    check_truth(dataset, truth)
    dataset["annotations"][0].update(segmentation=rectangle(0, 0, 9, 9), mask_source="person")
    with pytest.raises(ValueError, match="among those of the 2 boxes to label"):
        check_truth(dataset, truth)


@pytest.mark.parametrize("change", ["image", "box"])
def test_truth_of_other_boxes_with_equal_ids(change):
    truth = boxes()
    truth["annotations"][0]["segmentation"] = rectangle(0, 0, 10, 10)
    if change == "image":
        truth["images"][0]["file_name"] = "b.png"
    else:
        truth["annotations"][0]["bbox"] = [20, 10, 10, 10]
    with pytest.raises(ValueError, match="1 of 1 ids are those of other boxes there, first 7"):
        check_truth(boxes(), truth)


def test_truth_of_an_image_of_another_size():
    """An IoU with it would be -1."""
    truth = boxes()
    truth["annotations"][0]["segmentation"] = [[0, 0, 10, 0, 10, 10, 0, 10]]
    truth["images"][0]["width"] = 24
    with pytest.raises(ValueError, match=r"'a.png' is 30 x 20 .* json and 24 x 20 in the true"):
        check_truth(boxes(), truth)


def test_a_box_that_failed_keeps_no_mask_of_an_earlier_run():
    dataset = boxes()
    stale = dict(segmentation=rectangle(0, 0, 3, 3), mask_quality=0.9, mask_source="machine")
    dataset["annotations"][2] |= stale
    failed = add_masks(dataset, RECORDS).dataset["annotations"][2]
    assert not stale.keys() & failed.keys()
    assert failed["area"] == 0
