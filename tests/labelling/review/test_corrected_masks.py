"""Masks of another tool: which box each belongs to, and what counts as a correction."""

from __future__ import annotations

import copy

import cv2
import numpy as np
import pytest

from mmdet_discobox.labelling.mask_encoding import encode_rle, to_polygons
from mmdet_discobox.labelling.review.corrected_masks import merge_corrected
from mmdet_discobox.labelling.review.export_matching import match_images
from mmdet_discobox.labelling.review.reviewed_masks import with_accepted_masks
from mmdet_discobox.utils.rle import run_lengths, to_rle


def drawn(ann_id, *, left=2, image=1, **fields):
    """An annotation of 10 x 8 pixels whose mask fills its box."""
    right, box = left + 10, [left, 2, 10, 8]
    mask = [[left, 2, right, 2, right, 10, left, 10]]
    return dict(id=ann_id, image_id=image, category_id=1, bbox=box, segmentation=mask, **fields)


def labels(*, images=1):
    """Three machine masks in each image."""
    return dict(
        images=[
            dict(id=i + 1, file_name=f"day/{'abc'[i]}.png", height=20, width=60)
            for i in range(images)
        ],
        categories=[dict(id=1, name="one")],
        annotations=[
            drawn(7 + 3 * k + i, left=2 + 15 * i, image=k + 1, mask_quality=0.5)
            for k in range(images)
            for i in range(3)
        ],
    )


def merge(before, after):
    return merge_corrected(before, after, name="cvat.json")


def corrected(left):
    """A mask without the first three columns of a box."""
    return [[left + 3, 2, left + 10, 2, left + 10, 10, left + 3, 10]]


def test_corrected_masks_count_as_a_persons():
    before, after = labels(), labels()
    after["annotations"] = [
        dict(drawn(7), segmentation=corrected(2)), drawn(8, left=17), drawn(9, left=32),
    ]  # fmt: skip
    merged = merge(before, after)
    first, *others = merged.dataset["annotations"]
    assert first["segmentation"] == corrected(2)
    assert first["mask_source"] == "person"
    assert "mask_quality" not in first
    assert first["area"] == 7 * 8  # of the mask, not of the box of 10 x 8
    # exported as they were: nobody says that they were looked at
    assert others == before["annotations"][1:]
    assert (merged.changed, merged.renumbered, merged.ignored) == ({7}, 0, [])
    kept = with_accepted_masks(merged.dataset)["annotations"]
    assert [bool(a.get("segmentation")) for a in kept] == [True, False, False]


def run_length_code(mask):
    code = to_rle(mask, height=20, width=60)
    return dict(size=[20, 60], counts=run_lengths(code["counts"]).tolist())


def outline(mask):
    """Corners at the centres of the outermost pixels, as of a tool that traces contours."""
    x1, y1, x2, y2 = *mask[0][:2], *mask[0][4:6]
    return [[x1 + 0.5, y1 + 0.5, x2 - 0.5, y1 + 0.5, x2 - 0.5, y2 - 0.5, x1 + 0.5, y2 - 0.5]]


@pytest.mark.parametrize("encode", [run_length_code, outline])
def test_masks_that_a_tool_only_encoded_anew_were_not_corrected(encode):
    before, after = labels(), labels()
    for annotation in after["annotations"]:
        annotation["segmentation"] = encode(annotation["segmentation"])
    assert merge(before, after).dataset == before


def test_holes_that_polygons_lose_are_not_a_correction():
    before, after = labels(), labels()
    mask = np.zeros((20, 60), np.uint8)
    mask[2:10, 2:12] = 1
    mask[4:8, 5:9] = 0
    ring = dict(size=[20, 60], counts=encode_rle(mask > 0)["counts"])
    before["annotations"][0]["segmentation"] = ring
    after["annotations"][0]["segmentation"] = to_polygons(mask > 0)
    assert merge(before, after).changed == set()
    after["annotations"][0]["segmentation"] = corrected(2)
    assert merge(before, after).changed == {7}
    mask[4:8, 5:9] = 1  # run lengths can have holes: the person filled it
    after["annotations"][0]["segmentation"] = encode_rle(mask > 0)
    assert merge(before, after).changed == {7}


def test_a_round_shape_traced_as_polygons_is_not_a_correction():
    rows, cols = np.mgrid[:20, :60] + 0.5
    disc = (rows - 10) ** 2 + (cols - 20) ** 2 < 64
    before = labels()
    code = to_rle(to_polygons(disc), height=20, width=60)
    ours = dict(drawn(7), bbox=[12, 2, 16, 16], segmentation=code)
    before["annotations"] = [ours]
    for shift in (-0.4, 0.4):
        after = copy.deepcopy(before)
        moved = [[value + shift for value in part] for part in to_polygons(disc)]
        after["annotations"][0]["segmentation"] = moved
        assert not merge(before, after).changed
    after["annotations"][0]["segmentation"] = to_rle(
        to_polygons(disc & (cols < 22)), height=20, width=60
    )
    assert merge(before, after).changed == {7}


@pytest.mark.parametrize("method", [cv2.CHAIN_APPROX_SIMPLE, cv2.CHAIN_APPROX_TC89_KCOS])
@pytest.mark.parametrize("radius", [2, 3.5, 8.6])
def test_polygons_that_a_tool_traced_from_run_lengths_are_not_a_correction(radius, method):
    """The second method is that of CVAT: it leaves out corners, here those of a star."""
    rows, cols = np.mgrid[:20, :60]
    angles = np.arctan2(rows - 10, cols - 20)
    star = np.hypot(rows - 10, cols - 20) < radius * (0.8 + 0.2 * np.cos(7 * angles))
    box = [20 - radius, 10 - radius, 2 * radius, 2 * radius]
    before = labels()
    before["annotations"] = [dict(drawn(7), bbox=box, segmentation=encode_rle(star))]

    def traced(mask):
        after = copy.deepcopy(before)
        contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, method)
        after["annotations"][0]["segmentation"] = [each.ravel().tolist() for each in contours]
        return after

    assert not merge(before, traced(star)).changed
    if radius > 8:
        assert merge(before, traced(star & ((cols < 20) | (rows < 10)))).changed == {7}


def renumbered(dataset):
    """The same annotations with ids from 1, in another order, images without their folder."""
    after = copy.deepcopy(dataset)
    after["annotations"] = after["annotations"][::-1]
    for index, annotation in enumerate(after["annotations"]):
        annotation["id"] = index + 1
        annotation["image_id"] += 40
    for image in after["images"]:
        image.update(id=image["id"] + 40, file_name=image["file_name"].rpartition("/")[2])
    return after


def test_annotations_that_were_numbered_anew_are_found_by_image_and_box():
    before = labels(images=2)
    after = renumbered(before)
    assert merge(before, after).dataset == before
    last = after["annotations"][0]  # the third of the second image
    last["segmentation"] = corrected(32)
    del after["annotations"][3]  # the third of the first image
    merged = merge(before, after)
    assert [a["id"] for a in merged.dataset["annotations"] if "mask_source" in a] == [12]
    assert (merged.changed, merged.renumbered) == ({12}, 5)
    assert merged.ignored == ["annotation 9 is missing"]


def test_equal_ids_decide_between_boxes_of_equal_objects():
    before = labels()
    before["annotations"] = [drawn(7), drawn(8)]
    after = copy.deepcopy(before)
    after["annotations"][1]["segmentation"] = corrected(2)
    for each in (after, dict(after, annotations=after["annotations"][::-1])):
        merged = merge(before, each).dataset["annotations"]
        assert [a["segmentation"] == corrected(2) for a in merged] == [False, True]


def test_masks_beside_the_boxes_they_were_drawn_in_are_found():
    """A tool exports the boxes that it was given, and each new mask as an annotation of its own."""
    before, after = labels(), labels()
    for each in (before, after):
        for annotation in each["annotations"]:
            del annotation["segmentation"]
    masks = [dict(drawn(20 + i, left=2 + 15 * i), bbox=[3 + 15 * i, 2, 9, 8]) for i in range(3)]
    after["annotations"] += masks
    merged = merge(before, after)
    assert merged.changed == {7, 8, 9}
    found = [a["segmentation"] for a in merged.dataset["annotations"]]
    assert found == [mask["segmentation"] for mask in masks]
    after["annotations"][3]["bbox"] = [9, 2, 13, 8]  # IoU 0.15: of another object
    assert merge(before, after).changed == {8, 9}


def test_an_export_of_other_images_is_an_error():
    before, after = labels(), labels()
    after["images"][0]["file_name"] = "elsewhere.png"
    after["images"][0]["id"] = 5
    for annotation in after["annotations"]:
        annotation["image_id"] = 5
    message = "none of its 3 masks is in an image of the same name: its first is 'elsewhere.png'"
    with pytest.raises(ValueError, match=message):
        merge(before, after)
    after = labels()
    after["annotations"] = [drawn(7, left=45)]
    with pytest.raises(ValueError, match="none of its 1 masks has a box near one"):
        merge(before, after)


@pytest.mark.parametrize(
    ("ours", "theirs", "found"),
    [
        (["a/x.png", "b/x.png"], "project/a/x.png", 1),  # the longest common end
        (["a/x.png", "b/x.png"], r"project\a\x.png", 1),
        (["a/x.png", "x.png"], "x.png", 2),  # the same path
        (["a/x.png", "b/x.png"], "x.png", 2),  # the equal id
        (["x.png", "y.png"], "1a2b-x.png", None),
        (["x.png", "y.png"], "images/1a2b3c4d-x.png", 1),  # Label Studio
        (["x.png", "1a2b3c4d-x.png"], "1a2b3c4d-x.png", 2),
        (["a/x.png", "b/x.png"], "1a2b3c4d-x.png", None),  # it may be either
        (["x 1.png", "y.png"], "train/x-1_png.rf.8ce80c40bdd49c48d35b46d5.jpg", 1),  # Roboflow
        (["x.png", "x.jpg"], "x_jpg.rf.8ce80c40bdd49c48d35b46d5.jpg", 2),
        (["x_1.png", "x-1.png"], "x-1_png.rf.8ce80c40bdd49c48d35b46d5.jpg", None),
        (["b\u00e4r/x.png", "y/x.png"], "ba\u0308r/x.png", 1),  # letters of another system
    ],
)
def test_images_are_found_by_the_ends_of_their_names(ours, theirs, found):
    images = [dict(id=i, file_name=name) for i, name in enumerate(ours, 1)]
    export = dict(images=[dict(id=2, file_name=theirs)])
    expected = {} if found is None else {2: found}
    assert match_images(dict(images=images), export) == expected


@pytest.mark.parametrize(
    ("ours", "theirs", "found"),
    [
        (["a/x.png"], ["a/x.png", "b/x.png"], {11: 1}),  # the same path
        (["x.png"], ["b/x.png", "x.png"], {12: 1}),
        (["a/x.png"], ["p/b/x.png", "p/a/x.png"], {12: 1}),  # the longest common end
        (["x.png"], ["a/x.png", "b/x.png"], {}),  # it may be either
        (["x.png"], ["x_png.rf.aa.jpg", "x_png.rf.bb.jpg"], {}),  # one of them may be augmented
        (["x.png"], ["a/x.png", "a/x.png"], {11: 1, 12: 1}),  # of two jobs
        (["a/x.png", "b/x.png"], ["b/x.png", "a/x.png", "c/x.png"], {11: 2, 12: 1}),
    ],
)
def test_an_export_may_have_more_folders_than_the_labels(ours, theirs, found):
    images = [dict(id=i, file_name=name) for i, name in enumerate(ours, 1)]
    export = dict(images=[dict(id=i, file_name=name) for i, name in enumerate(theirs, 11)])
    assert match_images(dict(images=images), export) == found


def test_masks_of_an_equally_named_image_in_another_folder_are_not_taken_over():
    before, after = labels(), labels()
    after["images"].append(dict(id=2, file_name="night/a.png", height=99, width=60))
    after["annotations"] += [dict(drawn(3, image=2), segmentation=corrected(2))]
    merged = merge(before, after)
    assert merged.changed == set()
    assert merged.ignored == ["image 'night/a.png' is not here, or several are called so"]


def test_an_unknown_image_is_named_once_and_an_image_of_another_size_is_an_error():
    before, after = labels(images=2), labels(images=2)
    after["images"][1]["file_name"] = "renamed.png"
    after["annotations"][0]["segmentation"] = corrected(2)
    merged = merge(before, after)
    assert merged.changed == {7}
    assert merged.ignored == ["image 'renamed.png' is not here, or several are called so"]
    after["images"][0].update(width=120, height=40)
    with pytest.raises(ValueError, match="is 120 x 40 pixels there and 60 x 20 here. Export at"):
        merge(before, after)


def test_a_mask_that_does_not_fit_its_box_does_not_stop_the_others():
    before, after = labels(), renumbered(labels())
    third, second, first = after["annotations"]  # 1, 2 and 3 there; 9, 8 and 7 here
    first["segmentation"] = corrected(40)
    second["segmentation"] = corrected(17)
    merged = merge(before, after)
    assert merged.changed == {8}
    assert merged.dataset["annotations"][0] == before["annotations"][0]
    assert merged.ignored == []
    assert merged.unusable == [
        "annotation 3 there, here annotation 7 (image 1, 'day/a.png'): the mask lies outside its "
        "box: its own is [43.0, 2.0, 7.0, 8.0], `bbox` is [2, 2, 10, 8]"
    ]
    third["segmentation"] = [[1, 2, 3]]
    third["bbox"] = [32, 2, 14, 8]
    merged = merge(before, after)
    assert (
        "annotation 1 there, here annotation 9 (image 1, 'day/a.png'): expected polygons of"
        in (merged.unusable[-1])
    )
    assert merged.ignored == ["annotation 1 has the box [32, 2, 14, 8] instead of [32, 2, 10, 8]"]


def test_a_small_object_that_a_tool_has_shrunk_keeps_its_mask():
    """3 x 3 pixels are just enough of the box of 4 x 4; the three corners that are left are not."""
    before = labels()
    small = [[50, 5, 53, 5, 53, 8, 50, 8]]
    before["annotations"].append(dict(drawn(70), bbox=[50, 5, 4, 4], segmentation=small))
    after = copy.deepcopy(before)
    after["annotations"][0]["segmentation"] = corrected(2)
    after["annotations"][3]["segmentation"] = [[50, 5, 52, 5, 52, 7]]
    merged = merge(before, after)
    assert merged.changed == {7}
    assert merged.dataset["annotations"][3] == before["annotations"][3]
    (line,) = merged.unusable
    assert line.startswith("annotation 70 there, here annotation 70 ")


def test_an_export_without_a_mask_that_fits_is_an_error():
    """As of a tool that writes fractions of the image."""
    before, after = labels(), labels()
    for annotation in after["annotations"]:
        annotation["segmentation"] = [[0.1, 0.1, 0.9, 0.1, 0.9, 0.9]]
    message = r"(?s)to fit their boxes, but none of its 3 masks of these boxes.*- annotation 7 "
    with pytest.raises(ValueError, match=message):
        merge(before, after)


def test_changed_boxes_and_classes_are_listed():
    before, after = labels(), labels()
    first, second, third = after["annotations"]
    first["bbox"] = [2, 2, 14, 8]
    second.update(drawn(8, left=20), bbox=[20, 2, 10, 8])  # the tight box of its new mask
    third["category_id"] = 2
    after["categories"].append(dict(id=2, name="two"))
    after["annotations"].append(drawn(99, left=45, image=1))
    after["annotations"][-1]["segmentation"] = []
    assert merge(before, after).ignored == [
        "annotation 7 has the box [2, 2, 14, 8] instead of [2, 2, 10, 8]",
        "annotation 9 is of 'two' instead of 'one'",
        "annotation 99 is new, or its box has moved",
    ]


def test_classes_in_other_unicode_letters_are_the_same():
    before, after = labels(), labels()
    before["categories"][0]["name"], after["categories"][0]["name"] = "b\u00e4r", "ba\u0308r"
    assert merge(before, after).ignored == []


def test_deletions_are_listed():
    """Images that were not exported were not looked at."""
    before = labels(images=2)
    first, second, *_ = before["annotations"]
    after = dict(before, images=before["images"][:1])
    after["annotations"] = [first, {**second, "segmentation": []}]
    assert merge(before, after).ignored == [
        "annotation 8 has lost its mask",
        "annotation 9 is missing",
    ]
