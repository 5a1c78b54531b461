from __future__ import annotations

import json

import pytest

from mmdet_discobox.labelling.mask_encoding import mask_digest
from mmdet_discobox.labelling.review.reviewed_masks import (
    check_loses_no_masks,
    images_to_correct,
    keep_accepted,
    mark_accepted,
)
from mmdet_discobox.utils.rle import to_rle


def boxes():
    """Three labelled boxes and a crowd that keeps its own mask."""
    box = dict(image_id=1, category_id=1, bbox=[0, 0, 9, 9], segmentation=[[0, 0, 9, 0, 9, 9]])
    annotations = [dict(box, id=i, mask_quality=0.5) for i in (7, "x", 9)]
    crowd = dict(box, id=10, iscrowd=1, segmentation="own")
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


def test_masks_that_the_labeller_did_not_make_are_not_on_the_page_and_stay(tmp_path):
    """As those of the classes that --classes does not name."""
    dataset = boxes()
    for annotation in dataset["annotations"][1:3]:
        del annotation["mask_quality"]
    (tmp_path / "a.json").write_text('{"accepted": [7], "rejected": []}')
    kept = keep_accepted(dataset, tmp_path / "a.json")["annotations"]
    assert [(a["id"], a.get("mask_source")) for a in kept] == [
        (7, "person"), ("x", None), (9, None), (10, None),
    ]  # fmt: skip
    (tmp_path / "a.json").write_text('{"accepted": [7], "rejected": ["x"]}')  # a quality was lost
    kept = keep_accepted(dataset, tmp_path / "a.json")["annotations"]
    assert [a["id"] for a in kept] == [7, 9, 10]


def test_boxes_that_were_not_on_the_page_need_a_mask_to_stay(tmp_path):
    """In the json of the next round they have none any more."""
    (tmp_path / "a.json").write_text('{"accepted": [7], "left_out": ["x", 9]}')
    dataset = boxes()
    del dataset["annotations"][1]["segmentation"]
    kept = keep_accepted(dataset, tmp_path / "a.json")
    assert [a["id"] for a in kept["annotations"]] == [7, 9, 10]


@pytest.mark.parametrize("select", [keep_accepted, mark_accepted])
def test_accepted_boxes_without_a_mask_are_an_error(tmp_path, select):
    """The json of the boxes was passed instead of the labels."""
    dataset = boxes()
    (tmp_path / "a.json").write_text('{"accepted": ["x", 9]}')
    select(dataset, tmp_path / "a.json")
    del dataset["annotations"][1]["segmentation"]
    with pytest.raises(ValueError, match="1 of its 2 have none, first 'x'. Pass the labelled json"):
        select(dataset, tmp_path / "a.json")


@pytest.mark.parametrize(
    ("select", "name"),
    [(keep_accepted, "accepted"), (mark_accepted, "accepted"), (images_to_correct, "rejected")],
)
def test_decisions_are_about_the_masks_that_were_seen(tmp_path, select, name):
    """Boxes that were labelled anew under the same names have masks that nobody has seen."""
    dataset = boxes()
    size = dict(height=20, width=30)
    first, second = (a["segmentation"] for a in dataset["annotations"][:2])
    digests = {"7": mask_digest(first, **size), '"x"': mask_digest(second, **size)}
    lists = {**dict(accepted=[], rejected=[]), name: [7, "x", 9]}
    (tmp_path / "a.json").write_text(json.dumps(dict(lists, masks=digests)))
    select(dataset, tmp_path / "a.json")
    code = to_rle(first, **size)
    dataset["annotations"][0]["segmentation"] = dict(code, counts=code["counts"].decode())
    select(dataset, tmp_path / "a.json")
    dataset["annotations"][1]["segmentation"] = [[1, 0, 9, 0, 9, 9]]
    dataset["annotations"][2]["segmentation"] = [[1, 0, 9, 0, 9, 9]]  # never compared
    with pytest.raises(ValueError, match="but 1 are others than those of the page, .* 'x'"):
        select(dataset, tmp_path / "a.json")
    dataset["annotations"][1]["mask_source"] = "person"  # corrected since
    select(dataset, tmp_path / "a.json")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "to be a json"),
        ('{"accepted": 3}', "a list `accepted` of ids"),
        ('{"accepted": [[1]]}', "a list `accepted` of ids"),
        ('{"accepted": [7], "left_out": 3}', "a list `left_out` of ids, .* but got 3"),
        ('{"accepted": [7], "left_out": [8]}', "1 of its 2 ids are not among theirs, first 8"),
        ('{"accepted": [7], "masks": [1]}', "an object `masks` of digests, .* but got"),
        ('{"accepted": ["7"]}', "1 of its 1 ids are not among theirs, first '7'"),
    ],
)
def test_wrong_accepted_files(tmp_path, text, message):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        keep_accepted(boxes(), tmp_path / "a.json")
    with pytest.raises(FileNotFoundError, match="Expected the decisions of the page"):
        keep_accepted(boxes(), tmp_path / "gone.json")


def test_images_with_a_rejected_mask_are_corrected_with_all_their_masks(tmp_path):
    dataset = boxes()
    dataset["images"].append(dict(id=2, file_name="b.png", width=30, height=20))
    dataset["annotations"][2]["image_id"] = 2
    for rejected, images, left in (([7], [1], [7, "x", 10]), ([9, "x"], [1, 2], [7, "x", 9, 10])):
        (tmp_path / "a.json").write_text(json.dumps(dict(accepted=[], rejected=rejected)))
        found = images_to_correct(dataset, tmp_path / "a.json")
        marked = {a["id"] for a in found["annotations"] if "attributes" in a}
        assert marked == set(rejected)
        assert [image["id"] for image in found["images"]] == images
        assert [a["id"] for a in found["annotations"]] == left
        assert found["categories"] == dataset["categories"]
    for text, message in (
        ('{"accepted": [], "rejected": []}', "a list `rejected` of ids in .* nothing to correct"),
        ('{"accepted": [], "rejected": [8]}', "1 of its 1 ids are not among theirs, first 8"),
        ("[7]", "a list `rejected` of ids"),
        ('{"accepted": [7, 9], "rejected": [9]}', "1 are in `accepted` and `rejected`, first 9"),
        ('{"accepted": [7], "rejected": [9], "left_out": [9]}', "in `rejected` and `left_out`"),
    ):
        (tmp_path / "a.json").write_text(text)
        with pytest.raises(ValueError, match=message):
            images_to_correct(dataset, tmp_path / "a.json")


def test_masks_that_are_corrected_or_missing_are_not_to_be_corrected(tmp_path):
    dataset = boxes()
    dataset["annotations"][0].update(mask_source="person", attributes=dict(occluded=False))
    (tmp_path / "a.json").write_text('{"accepted": [], "rejected": [7, 9]}')
    found = images_to_correct(dataset, tmp_path / "a.json")["annotations"]
    assert [a.get("attributes") for a in found] == [
        dict(occluded=False), None, dict(rejected=True), None,
    ]  # fmt: skip
    (tmp_path / "a.json").write_text('{"accepted": [], "rejected": [7]}')
    with pytest.raises(ValueError, match="all 1 that .* rejects have been replaced by masks of"):
        images_to_correct(dataset, tmp_path / "a.json")
    del dataset["annotations"][0]["segmentation"]
    with pytest.raises(ValueError, match="1 of its 1 have none, first 7. Pass the labelled json"):
        images_to_correct(dataset, tmp_path / "a.json")


def labels_of(*ids):
    mask = [[0, 0, 9, 0, 9, 9]]
    box = dict(image_id=1, category_id=1, bbox=[0, 0, 9, 9])
    return dict(boxes(), annotations=[dict(box, id=i, segmentation=mask) for i in ids])


def test_a_persons_masks_are_not_overwritten(tmp_path):
    out = tmp_path / "out.json"
    unmasked = boxes()
    for annotation in unmasked["annotations"]:
        del annotation["segmentation"]
    check_loses_no_masks(unmasked, out)
    for content in ("", "[]", "{", '{"annotations": 3}'):  # whatever it is, it has no such masks
        out.write_text(content)
        check_loses_no_masks(unmasked, out)
    made = labels_of(7, 9)
    made["annotations"][0].update(mask_quality=0.5)
    made["annotations"][1].update(mask_source="person")
    out.write_text(json.dumps(made))
    with pytest.raises(ValueError, match="has 1 that would be lost, first of annotation 9"):
        check_loses_no_masks(unmasked, out)
    drawn = labels_of(9)
    drawn["annotations"][0]["mask_source"] = "person"
    check_loses_no_masks(drawn, out)
    check_loses_no_masks(labels_of(9), out)  # the same mask, of unknown origin, is in the input
    machine = labels_of(9)
    machine["annotations"][0].update(mask_quality=0.9)
    drawn["annotations"][0]["segmentation"] = [[0, 0, 5, 0, 5, 5]]
    for other in (machine, drawn):  # a mask of a machine, and another one that was accepted
        with pytest.raises(ValueError, match="has 1 that would be lost, first of annotation 9"):
            check_loses_no_masks(other, out)
    check_loses_no_masks(drawn, out, replaced={9})
    made["annotations"][1].update(iscrowd=1)  # as CVAT's brush does
    out.write_text(json.dumps(made))
    with pytest.raises(ValueError, match="has 1 that would be lost, first of annotation 9"):
        check_loses_no_masks(unmasked, out)
