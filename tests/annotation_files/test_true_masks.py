"""Who made the mask of an annotation, and which masks are unusable."""

from __future__ import annotations

import re

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from mmdet_discobox.annotation_files.true_masks import find_mask_problems, is_true_mask, mask_source


def test_a_machines_masks_are_no_truth():
    square = [[1, 1, 5, 1, 5, 5]]
    made = dict(segmentation=square, mask_quality=0.9)
    assert mask_source(made) == "machine"
    assert mask_source({**made, "mask_source": "person"}) == "person"
    assert mask_source(dict(segmentation=square)) == "person"
    assert mask_source(dict(segmentation=square, mask_source="machine")) == "machine"
    assert mask_source(dict(segmentation=square, iscrowd=1)) is None
    assert mask_source(dict(segmentation=[])) is None
    assert is_true_mask(made, ("person", "machine"))


def bad(segmentation):
    image = dict(id=1, file_name="a.png", height=20, width=30)
    annotation = dict(
        id=7, image_id=1, category_id=1, bbox=[2, 2, 10, 8], segmentation=segmentation
    )
    categories = [dict(id=1, name="one")]
    return dict(images=[image], annotations=[annotation], categories=categories)


def rle(mask):
    code = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    return dict(size=list(mask.shape), counts=code["counts"].decode())


GOOD = np.zeros((20, 30), bool)
GOOD[2:10, 2:12] = True


@pytest.mark.parametrize(
    ("segmentation", "fault"),
    [
        ([[]], "expected polygons of three or more points"),
        ([[1, 2, 3, 4]], "expected polygons of three or more points"),
        ([[1, 2, 3, 4, 5, 6, 7]], "expected polygons of three or more points"),
        ([[1, 2, 3, 4, 5, None]], "expected polygons of three or more points"),
        ([[1, 2, 3, float("nan"), 5, 6]], "expected polygons of three or more points"),
        ("mask", "expected polygons or an RLE"),
        ([[5, 5, 5, 5, 5, 5]], "the mask is empty"),
        (rle(np.zeros((20, 30))), "the mask is empty"),
        (rle(GOOD.T), r"expected the `size` of the RLE to be .*\[20, 30\], but got \[30, 20\]"),
        (dict(rle(GOOD), counts=rle(GOOD[:, :20])["counts"]), "expected run lengths of 600"),
        (dict(size=[20, 30], counts=[5, 5]), "expected run lengths of 600 pixels, but got 10"),
        (dict(size=[20, 30], counts=[-5, 605]), "to be run lengths"),
        (dict(size=[20, 30], counts=None), "to be run lengths"),
        ([[20, 12, 28, 12, 28, 18, 20, 18]], "the mask lies outside its box"),
        ([[2, 2, 6, 2, 6, 6, 2, 6]], r"the mask disagrees with its box \(IoU 0.20\)"),
    ],
)
def test_bad_masks_are_found(segmentation, fault):
    problems = find_mask_problems(bad(segmentation))
    assert list(problems) == [7]
    message = str(problems[7])
    assert "annotation 7 (image 1, 'a.png')" in message
    assert re.search(fault, message)
    assert "or remove `segmentation`" in message


def test_good_masks_are_none():
    for segmentation in (rle(GOOD), [[2, 2, 12, 2, 12, 10, 2, 10]]):
        assert not find_mask_problems(bad(segmentation))
    assert not find_mask_problems(bad([]))
    loose = find_mask_problems(bad([[2, 2, 6, 2, 6, 6, 2, 6]]), min_box_iou=0.1)
    assert not loose


@pytest.mark.parametrize("far", [1e8, -1e9, 10**400, float("nan")])
def test_points_far_outside_are_found_before_pycocotools_crashes_on_them(far):
    problem = find_mask_problems(bad([[0, 0, far, 0, far, 9]]))[7]
    assert "in or near the image" in problem.fault


@pytest.mark.parametrize("box", [[4.5, 4.5, 2, 2], [4.5, 4.5, 1, 1], [4.4, 2, 1.2, 12]])
def test_the_pixels_of_a_thin_box_fit_it(box):
    """A mask has whole pixels, which overlap such a box little."""
    x, y, width, height = box
    pixels = np.zeros((20, 30), bool)
    rows = slice(int(y + 0.5), max(int(y + height), int(y + 0.5) + 1))
    pixels[rows, int(x + 0.5) : max(int(x + width), int(x + 0.5) + 1)] = True
    dataset = bad(rle(pixels))
    dataset["annotations"][0]["bbox"] = box
    assert not find_mask_problems(dataset)
