from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco_mask

from mmdet_discobox.labelling.mask_encoding import (
    decode_rle,
    encode_rle,
    encode_window,
    to_polygons,
)
from mmdet_discobox.utils.rle import to_rle


@settings(max_examples=50)
@given(hnp.arrays(bool, st.tuples(st.integers(1, 20), st.integers(1, 20))))
def test_run_lengths_come_back(mask):
    rle = json.loads(json.dumps(encode_rle(mask)))
    assert np.array_equal(decode_rle(rle), mask)
    uncompressed = coco_mask.frPyObjects(_counts(mask), *mask.shape)
    assert np.array_equal(decode_rle(uncompressed), mask)


@settings(max_examples=100)
@given(
    hnp.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))),
    st.tuples(*[st.integers(0, 3)] * 4),
)
def test_a_window_has_the_run_lengths_of_the_whole_mask(window, margins):
    left, top, right, bottom = margins
    mask = np.pad(window, ((top, bottom), (left, right)))
    assert encode_window(window, (left, top), mask.shape) == encode_rle(mask)


def _counts(mask):
    """Uncompressed run lengths by a naive loop: columns first, background first."""
    runs, value = [0], False
    for pixel in mask.flatten(order="F"):
        if pixel != value:
            runs.append(0)
            value = pixel
        runs[-1] += 1
    return dict(size=list(mask.shape), counts=runs)


@pytest.mark.parametrize("shape", ["circle", "pixel", "row", "two", "border"])
def test_polygons_give_the_mask_back(shape):
    mask = np.zeros((60, 80), np.uint8)
    if shape == "circle":
        cv2.circle(mask, (40, 30), 20, 1, -1)
    elif shape == "pixel":
        mask[7, 9] = 1
    elif shape == "row":
        mask[7, 9:30] = 1
    elif shape == "two":
        mask[5:20, 5:20] = mask[30:50, 40:70] = 1
    else:
        mask[:10, :10] = mask[50:, 70:] = 1
    polygons = to_polygons(mask > 0)
    assert all(len(polygon) >= 6 for polygon in polygons)
    height, width = mask.shape
    back = decode_rle(to_rle(polygons, height=height, width=width))
    assert (back & (mask > 0)).sum() / (back | (mask > 0)).sum() > 0.98


def test_polygons_fill_holes_and_an_empty_mask_has_none():
    mask = np.zeros((30, 30), bool)
    mask[5:25, 5:25] = True
    mask[10:20, 10:20] = False
    assert decode_rle(to_rle(to_polygons(mask), height=30, width=30))[15, 15]
    assert to_polygons(np.zeros((4, 4), bool)) == []
    assert not decode_rle(to_rle([], height=4, width=4)).any()
