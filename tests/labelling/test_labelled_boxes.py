from __future__ import annotations

import copy
import json

import numpy as np
import pytest

from label_truth import compare_with_truth
from mmdet_discobox.labelling import add_masks, keep_accepted
from mmdet_discobox.labelling.labelled_boxes import merge_corrected, with_accepted_masks
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


@pytest.mark.parametrize("content", [dict(accepted=["x", 9], rejected=[7]), [9, "x"]])
def test_accepted_boxes_are_kept(tmp_path, content):
    path = tmp_path / "ja.json"
    path.write_text(json.dumps(content))
    kept = keep_accepted(boxes(), path)
    assert [a["id"] for a in kept["annotations"]] == ["x", 9, 10]  # 10 is a crowd with its mask
    assert kept["images"] == boxes()["images"]


def test_a_crowd_whose_mask_was_made_has_to_be_accepted(tmp_path):
    dataset = boxes()
    dataset["annotations"][3]["mask_quality"] = 0.5
    (tmp_path / "a.json").write_text('{"accepted": [7], "left_out": ["x"]}')
    kept = keep_accepted(dataset, tmp_path / "a.json")
    assert [a["id"] for a in kept["annotations"]] == [7, "x"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "to be a json"),
        ('{"accepted": 3}', "a list `accepted` of ids"),
        ('{"accepted": [[1]]}', "a list `accepted` of ids"),
        ('{"accepted": [7], "left_out": 3}', "a list `left_out` of ids, .* but got 3"),
        ('{"accepted": [7], "left_out": [8]}', "1 of its 2 ids are not among theirs, first 8"),
        ('{"accepted": ["7"]}', "1 of its 1 ids are not among theirs, first '7'"),
    ],
)
def test_wrong_accepted_files(tmp_path, text, message):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        keep_accepted(boxes(), tmp_path / "a.json")
    with pytest.raises(FileNotFoundError, match="Expected the accepted ids"):
        keep_accepted(boxes(), tmp_path / "gone.json")


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
    with pytest.raises(ValueError, match="to be of the same boxes"):
        compare_with_truth(boxes(), truth)


def drawn(ann_id, *, left=2, **fields):
    """An annotation of 10 x 8 pixels whose mask fills its box."""
    right, box = left + 10, [left, 2, 10, 8]
    mask = [[left, 2, right, 2, right, 10, left, 10]]
    return dict(id=ann_id, image_id=1, category_id=1, bbox=box, segmentation=mask, **fields)


def machine_labels():
    return dict(
        images=[dict(id=1, file_name="a.png", height=20, width=60)],
        categories=[dict(id=1, name="one")],
        annotations=[
            drawn(7 + i, left=2 + 15 * i, mask_quality=0.5, mask_source="machine") for i in range(3)
        ],
    )


def test_corrected_masks_merge_by_id_and_count_as_a_persons():
    labels, corrected = machine_labels(), machine_labels()
    mask = [[3, 2, 12, 2, 12, 10, 3, 10]]
    corrected["annotations"] = [dict(drawn(7), segmentation=mask), drawn(8, left=17)]
    merged = merge_corrected(labels, corrected, name="cvat.json")
    first, second, third = merged["annotations"]
    assert first["segmentation"] == mask
    assert first["mask_source"] == "person"
    assert "mask_quality" not in first
    # exported as it was: nobody says that it was looked at
    assert [second, third] == labels["annotations"][1:]
    kept = with_accepted_masks(merged)["annotations"]
    assert [bool(a.get("segmentation")) for a in kept] == [True, False, False]


def test_corrected_masks_with_other_ids_are_an_error():
    labels, corrected = machine_labels(), machine_labels()
    corrected["annotations"] = [drawn(1)]
    with pytest.raises(ValueError, match="1 of 1 are not among theirs, first 1"):
        merge_corrected(labels, corrected, name="cvat.json")
    corrected["annotations"] = [drawn(7, left=17), drawn(8, left=2)]  # numbered anew
    with pytest.raises(ValueError, match=r"to fit the boxes of the same ids, but 2 of 2 do not"):
        merge_corrected(labels, corrected, name="cvat.json")
