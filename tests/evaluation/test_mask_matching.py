"""The two matching rules against loops, and where they differ."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mmdet_discobox.evaluation.mask_matching import MATCHERS, exceeds_thresholds, match_detections

THRESHOLDS = (0.25, 0.5, 0.7, 0.75)
# Quarters and tenths: overlaps that equal a threshold, and ties between objects, are frequent.
overlaps = st.sampled_from([0.0, 0.2, 0.25, 0.4, 0.5, 0.6, 0.7, 0.75, 0.9, 1.0])
ious = st.tuples(st.integers(0, 6), st.integers(0, 4)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=overlaps)
)


def loop(ious, threshold, matcher):
    """Match detections one by one with objects one by one."""
    taken, hits = set(), []
    for row in ious:
        best, best_iou = None, -1.0
        for index, iou in enumerate(row):
            if matcher == "bbtp" and index in taken:
                continue
            if iou > best_iou:
                best, best_iou = index, iou
        enough = best_iou >= threshold if matcher == "sds" else best_iou > threshold
        hits.append(best is not None and enough and best not in taken)
        if hits[-1]:
            taken.add(best)
    return hits


@pytest.mark.parametrize("matcher", MATCHERS)
@given(ious=ious)
def test_equals_the_loops(matcher, ious):
    hits = match_detections(ious, thresholds=THRESHOLDS, matcher=matcher)
    assert hits.tolist() == [loop(ious, threshold, matcher) for threshold in THRESHOLDS]


def test_the_second_detection_on_two_objects():
    """Both detections cover the seven pixels of A (four) and B (three)."""
    ious = np.array([[4 / 7, 3 / 7], [4 / 7, 3 / 7]])
    assert match_detections(ious, thresholds=[0.25], matcher="sds").tolist() == [[True, False]]
    assert match_detections(ious, thresholds=[0.25], matcher="bbtp").tolist() == [[True, True]]


@pytest.mark.parametrize(("matcher", "hit"), [("sds", True), ("bbtp", False)])
def test_an_overlap_that_equals_the_threshold(matcher, hit):
    hits = match_detections(np.array([[2 / 4]]), thresholds=[0.5], matcher=matcher)
    assert hits.tolist() == [[hit]]
    passed = exceeds_thresholds(np.array([2 / 4, 0.6]), thresholds=[0.5, 0.7], matcher=matcher)
    assert passed.tolist() == [[hit, True], [False, False]]


def test_an_unknown_matcher():
    with pytest.raises(
        ValueError, match=r"`matcher` to be one of \('sds', 'bbtp'\), but got 'coco'"
    ):
        match_detections(np.zeros((1, 1)), thresholds=[0.5], matcher="coco")
