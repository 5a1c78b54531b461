from __future__ import annotations

import numpy as np
import pytest
import torch
from mmdet.structures.bbox import bbox_overlaps

from mmdet_discobox.evaluation.object_pair_matching import iou, match_object_pairs


def boxes(*corners):
    return np.array([(x, 0.0, x + 10, 10.0) for x in corners]).reshape(-1, 4)


def match(sources, targets, labels, scores, *, annotated=((0, 20), (0, 20)), min_iou=0.5):
    return match_object_pairs(
        (boxes(*sources), boxes(*targets)),
        (boxes(*annotated[0]), boxes(*annotated[1])),
        (np.array(labels, int), np.zeros(len(annotated[0]), int), np.array([0, 1])),
        np.array(scores, float),
        min_iou=min_iou,
    )


def test_iou_equals_mmdet():
    rng = np.random.default_rng(0)
    first, second = (np.sort(rng.uniform(0, 9, (n, 2, 2)), 1).reshape(n, 4) for n in (6, 5))
    expected = bbox_overlaps(torch.from_numpy(first), torch.from_numpy(second))
    np.testing.assert_allclose(iou(first, second), expected.numpy(), atol=1e-6)
    assert iou(np.zeros((1, 4)), np.zeros((1, 4))) == 0


def test_the_highest_score_is_matched_with_the_largest_overlap():
    assert match([1, 2, 20], [0, 0, 1], [0, 0, 0], [0.3, 0.9, 0.1]) == {(0, 0): 1, (1, 0): 2}


def test_both_boxes_must_overlap():
    assert match([0], [4], [0], [1.0]) == {}  # 6 / 14 at the target
    assert match([0], [4], [0], [1.0], min_iou=0.4) == {(0, 0): 0}


def test_classes_must_be_equal():
    assert match([0], [20], [0], [1.0]) == {}
    assert match([0], [20], [1], [1.0]) == {}
    assert match([0], [0], [0], [1.0]) == {(0, 0): 0}


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1], [1, 2, 0]])
def test_equal_scores_are_ordered_by_overlap(order):
    sources = [2, 0, 1]
    matches = match([sources[i] for i in order], [0, 0, 0], [0] * 3, [0.5] * 3)
    assert matches == {(0, 0): order.index(1)}


def test_no_predictions_or_objects():
    assert match([], [], [], []) == {}
    assert match([0], [0], [0], [1], annotated=((), (0, 20))) == {}
