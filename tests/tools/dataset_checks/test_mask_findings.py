"""Masks of some objects are counted, and those that training would drop are reported."""

from __future__ import annotations

from checked_data import coco

SQUARE = [[4, 4, 24, 4, 24, 24, 4, 24]]


def texts(report, level):
    return [str(finding) for finding in report.findings if finding.level == level]


def test_objects_with_and_without_masks_are_counted(check):
    content = coco([4, 4, 20, 20], [50, 10, 30, 40], [30, 4, 18, 20])
    assert not check(content).findings
    content["annotations"][0]["segmentation"] = SQUARE
    content["annotations"][1].update(
        segmentation=[[50, 10, 80, 10, 80, 50, 50, 50]], mask_quality=0.8, mask_source="machine"
    )
    report = check(content)
    true, made = texts(report, "note")
    assert "1 of 3 objects have a true mask: 猫 1 of 3. They are read with use_masks=True" in true
    assert "1 masks are auto-labels that nobody accepted" in made
    assert not texts(report, "warning")
    assert not report.stops_training


def test_masks_of_an_unknown_source_are_reported(check):
    content = coco([4, 4, 20, 20])
    content["annotations"][0].update(segmentation=SQUARE, mask_source="Person")
    (warning,) = texts(check(content), "warning")
    assert "1 masks have a `mask_source` other than 'person' and 'machine'" in warning
    assert "1 of 'Person'" in warning


def test_unusable_masks_are_reported_with_their_ids(check):
    content = coco([4, 4, 20, 20], [50, 10, 30, 40])
    for annotation in content["annotations"]:
        annotation["segmentation"] = SQUARE  # outside of the second box
    report = check(content)
    (warning,) = texts(report, "warning")
    second = content["annotations"][1]["id"]
    assert "1 masks cannot be used" in warning
    assert f"annotation {second} " in warning
    assert "the mask lies outside its box" in warning
    assert "Draw them again" in warning
    assert "1 of 2 objects have a true mask" in texts(report, "note")[0]


def test_malformed_masks_are_listed_with_their_ids(check):
    content = coco(*[[4, 4, 20, 20]] * 7)
    for annotation in content["annotations"][:6]:
        annotation["segmentation"] = [[1, 2, 3]]
    (note,) = texts(check(content), "note")
    ids = [annotation["id"] for annotation in content["annotations"]]
    assert "6 segmentations are no mask of their image and count as none" in note
    assert all(f"annotation {value}: [[1, 2, 3]]" in note for value in ids[:5])
    assert "... and 1 more" in note


def test_polygons_left_out_of_a_mask_are_told_from_a_mask_left_out(check):
    content = coco([4, 4, 20, 20])
    content["annotations"][0]["segmentation"] = [*SQUARE, [5, 5, 6, 6]]
    left_out, counted = texts(check(content), "note")
    assert "1 masks have polygons of fewer than three points" in left_out
    assert "1 of 1 objects have a true mask" in counted
