"""The counts and the curve of Sec. 4.1 against naive loops."""

from __future__ import annotations

import numpy as np
import pytest

from mmdet_discobox.evaluation import multi_object_ap
from mmdet_discobox.evaluation.correspondence_counts import count_points, count_predictions

ALPHAS = np.array([0.1, 0.3, 0.8])


def problem(seed, n=12, m=4):
    """Distances and scores on a coarse grid, so that all kinds of ties occur."""
    rng = np.random.default_rng(seed)
    near, far = rng.integers(0, 11, (2, n, m)) / 10
    return near, far, rng.integers(0, 5, n) / 4, ALPHAS, rng.random((n, m)) < 0.8


def naive_predictions(near, far, scores, alphas, allowed):
    """TP_i, FP_i and FN_i as printed."""
    rows = []
    for i, score in enumerate(scores):
        for k, alpha in enumerate(alphas):
            source = [allowed[i, j] and near[i, j] <= alpha for j in range(near.shape[1])]
            target = [far[i, j] <= alpha for j in range(near.shape[1])]
            below = sum(source) + (1 if sum(source) == 0 else 0)
            tp = sum(s * t for s, t in zip(source, target, strict=True)) / below
            fp = sum(s * (not t) for s, t in zip(source, target, strict=True)) / below
            fn = 1 if sum(source) == 0 else 0
            row = np.zeros((3, len(alphas)))
            row[:, k] = tp, fp, fn
            rows.append((0.0 if fn else score, *row.ravel()))  # the sum of FN is what matters
    return rows


def naive_points(near, far, scores, alphas, allowed):
    """Count the prediction evaluated for each point, one threshold at a time."""
    rows = []
    for k, alpha in enumerate(alphas):
        for j in range(near.shape[1]):
            touching = [i for i in range(len(scores)) if allowed[i, j] and near[i, j] <= alpha]
            row = np.zeros((3, len(alphas)))
            if not touching:
                row[2, k] = 1
                rows.append((0.0, *row.ravel()))
                continue
            best = min((-scores[i], near[i, j]) for i in touching)
            equals = [i for i in touching if (-scores[i], near[i, j]) == best]
            row[0, k] = sum(far[i, j] <= alpha for i in equals) / len(equals)
            row[1, k] = 1 - row[0, k]
            rows.append((-best[0], *row.ravel()))
    return rows


def summed(rows):
    rows = np.array(rows)
    levels = np.unique(rows[:, 0])
    sums = [[level, *rows[rows[:, 0] == level, 1:].sum(0)] for level in levels]
    return np.array(sums)


@pytest.mark.parametrize(
    ("count", "naive"), [(count_points, naive_points), (count_predictions, naive_predictions)]
)
@pytest.mark.parametrize("seed", range(20))
def test_counts_equal_naive_loops(count, naive, seed):
    case = problem(seed)
    np.testing.assert_allclose(count(*case), summed(naive(*case)), atol=1e-12)


def naive_ap(rows, k, num, recall, points):
    """Compute the curve at every score, then the highest precision at larger recalls."""
    parts = [0, 2] if recall == "printed" else [0, 1, 2]
    total = sum(row[1 + part * num + k] for row in rows for part in parts)
    if total == 0:
        return 0.0
    curve = [(0.0, 0.0)]
    for level in sorted({row[0] for row in rows}, reverse=True):
        tp = sum(row[1 + k] for row in rows if row[0] >= level)
        fp = sum(row[1 + num + k] for row in rows if row[0] >= level)
        curve.append((tp / total, tp / (tp + fp) if tp + fp else 0.0))

    def best_from(recall):
        return max((p for r, p in curve if r >= recall - 1e-6), default=0.0)

    if points:
        return sum(best_from(recall / 100) for recall in range(101)) / 101
    steps = zip(curve[:-1], curve[1:], strict=True)
    return sum((after[0] - before[0]) * best_from(after[0]) for before, after in steps)


@pytest.mark.parametrize("interpolation", ["area", "101"])
@pytest.mark.parametrize("recall", ["printed", "all"])
@pytest.mark.parametrize("seed", range(10))
def test_ap_equals_a_naive_loop(interpolation, recall, seed):
    rows = np.concatenate([count_points(*problem(seed)), count_predictions(*problem(seed + 100))])
    shuffled = np.random.default_rng(seed).permutation(rows)
    found = multi_object_ap(shuffled, recall=recall, interpolation=interpolation)
    points = interpolation == "101"
    expected = [naive_ap(rows.tolist(), k, 3, recall, points) for k in range(3)]
    np.testing.assert_allclose(found, expected, atol=1e-9)


HAND = np.array([[0.9, 1, 0, 0], [0.8, 0, 1, 0], [0.5, 1, 0, 0], [0.0, 0, 0, 1]])


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        # recall 1/3 at precision 1, 2/3 at 2/3
        (dict(recall="printed"), 1 / 3 + 1 / 3 * 2 / 3),
        # recall 1/4 at precision 1, 2/4 at 2/3
        (dict(recall="all"), 1 / 4 + 1 / 4 * 2 / 3),
        # recalls 0 to 0.25 are 26 of 101 points, 0.26 to 0.50 are 25
        (dict(recall="all", interpolation="101"), (26 + 25 * 2 / 3) / 101),
    ],
)
def test_a_hand_computed_example(kind, expected):
    np.testing.assert_allclose(multi_object_ap(HAND, **kind), [expected])


def test_equal_scores_form_one_point_of_the_curve():
    hit, miss = [0.5, 1, 0, 0], [0.5, 0, 1, 0]
    for order in ([hit, miss], [miss, hit]):
        np.testing.assert_allclose(multi_object_ap(np.array(order)), [1 / 2])
        np.testing.assert_allclose(multi_object_ap(np.array(order), recall="all"), [1 / 4])


def test_one_correct_point_ranked_above_wrong_ones():
    rows = np.array([[0.9, 1, 0, 0], [0.5, 0, 99, 0]])
    np.testing.assert_allclose(multi_object_ap(rows), 1)
    np.testing.assert_allclose(multi_object_ap(rows, recall="all"), 0.01)


def test_no_correct_point():
    assert multi_object_ap(np.array([[0.5, 0.0, 1.0, 0.0]])) == [0.0]
    assert np.isnan(multi_object_ap(np.zeros((0, 4)))).all()


def test_rejects_other_shapes():
    with pytest.raises(
        ValueError, match=r"Expected `counts` of shape \(r, 1 \+ 3K\) but got \(2, 6\)"
    ):
        multi_object_ap(np.zeros((2, 6)))
