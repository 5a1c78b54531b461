from __future__ import annotations

import json

import pytest

from mmdet_discobox.labelling.reviewed_masks import (
    check_accepted_masks,
    ignored_changes,
    keep_accepted,
    merge_corrected,
    with_accepted_masks,
)
from mmdet_discobox.utils.rle import run_lengths, to_rle


def boxes():
    """Three boxes and a crowd that keeps its own mask."""
    box = dict(image_id=1, category_id=1, bbox=[0, 0, 9, 9], segmentation=[[0, 0, 9, 0, 9, 9]])
    annotations = [dict(box, id=i) for i in (7, "x", 9)]
    crowd = dict(annotations[0], id=10, iscrowd=1, segmentation="own")
    return dict(
        images=[dict(id=1, file_name="a.png", width=30, height=20)],
        annotations=[*annotations, crowd],
        categories=[dict(id=1, name="thing")],
    )


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


def test_accepted_boxes_without_a_mask_are_an_error(tmp_path):
    """The json of the boxes was passed instead of the labels."""
    dataset = boxes()
    (tmp_path / "a.json").write_text('{"accepted": ["x", 9]}')
    check_accepted_masks(dataset, tmp_path / "a.json")
    del dataset["annotations"][1]["segmentation"]
    with pytest.raises(ValueError, match="1 of its 2 have none, first 'x'. Pass the labelled json"):
        check_accepted_masks(dataset, tmp_path / "a.json")


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
    assert first["area"] == 9 * 8  # of the mask, not of the box of 10 x 8
    # exported as it was: nobody says that it was looked at
    assert [second, third] == labels["annotations"][1:]
    kept = with_accepted_masks(merged)["annotations"]
    assert [bool(a.get("segmentation")) for a in kept] == [True, False, False]


def test_masks_that_a_tool_only_encoded_anew_were_not_corrected():
    labels, exported = machine_labels(), machine_labels()
    for annotation in exported["annotations"]:
        code = to_rle(annotation["segmentation"], height=20, width=60)
        runs = run_lengths(code["counts"]).tolist()
        annotation["segmentation"] = dict(size=[20, 60], counts=runs)
    assert merge_corrected(labels, exported, name="cvat.json") == labels


def test_corrected_masks_with_other_ids_are_an_error():
    labels, corrected = machine_labels(), machine_labels()
    corrected["annotations"] = [drawn(1)]
    with pytest.raises(ValueError, match="1 of 1 are not among theirs, first 1"):
        merge_corrected(labels, corrected, name="cvat.json")
    corrected["annotations"] = [drawn(7, left=17), drawn(8, left=2)]  # numbered anew
    with pytest.raises(ValueError, match=r"to fit the boxes of the same ids, but 2 of 2 do not"):
        merge_corrected(labels, corrected, name="cvat.json")


def test_changed_boxes_and_classes_are_listed():
    labels, corrected = machine_labels(), machine_labels()
    assert ignored_changes(labels, corrected) == []
    first, second, third = corrected["annotations"]
    first["bbox"] = [0, 0, 30, 19]
    second.update(drawn(8, left=20), bbox=[20, 2, 10, 8])  # the tight box of its new mask
    third["category_id"] = 2
    corrected["categories"].append(dict(id=2, name="two"))
    corrected["annotations"].append(dict(drawn(99), segmentation=[]))
    assert ignored_changes(labels, corrected) == [
        "annotation 7 has the box [0, 0, 30, 19] instead of [2, 2, 10, 8]",
        "annotation 9 is of 'two' instead of 'one'",
        "annotation 99 is new",
    ]


def test_deletions_are_listed():
    """Images that were not exported were not looked at."""
    labels = machine_labels()
    labels["images"].append(dict(labels["images"][0], id=2))
    labels["annotations"].append(dict(drawn(20), image_id=2))
    first, second, _, _ = labels["annotations"]
    corrected = dict(labels, images=labels["images"][:1])
    corrected["annotations"] = [first, {**second, "segmentation": []}]
    assert ignored_changes(labels, corrected) == [
        "annotation 8 has lost its mask",
        "annotation 9 is missing",
    ]
