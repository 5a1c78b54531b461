"""The multi-object AP: its range, its options and its invariances."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.registry import METRICS
from object_pairs import aps, evaluate, grid, guessed, image_pair, perfect, predicted

from mmdet_discobox.evaluation import MultiObjectCorrespondenceMetric


def test_is_registered():
    metric = METRICS.build(dict(type="MultiObjectCorrespondenceMetric", thresholds=[0.1]))
    metric.process(None, [perfect(image_pair(0))])
    assert metric.evaluate(1) == {"multi_object/AP": 1.0, "multi_object/AP_10": 1.0}


@pytest.mark.parametrize("average", ["class", "pooled"])
@pytest.mark.parametrize("interpolation", ["area", "101"])
@pytest.mark.parametrize("diagonal", ["own", "target"])
@pytest.mark.parametrize("tie", ["boxes", "points"])
@pytest.mark.parametrize("recall", ["printed", "all"])
def test_perfect_predictions_have_an_ap_of_one(average, interpolation, diagonal, tie, recall):
    samples = [perfect(image_pair(seed), score=0.1 * seed + 0.1) for seed in range(5)]
    if tie == "points":  # where pairs and points that are to be ignored are false positives
        for sample in samples:
            sample["target"]["visible"][:] = True
            del sample["predicted_pairs"][3]
    found = aps(
        samples,
        average=average,
        interpolation=interpolation,
        diagonal=diagonal,
        tie=tie,
        recall=recall,
    )
    np.testing.assert_allclose(found, 1, atol=1e-6)


@pytest.mark.parametrize("counting", ["points", "predictions"])
@pytest.mark.parametrize("recall", ["printed", "all"])
def test_random_predictions_are_near_zero(counting, recall):
    samples = [guessed(image_pair(seed), seed) for seed in range(20)]
    assert aps(samples, counting=counting, recall=recall)[0] < 0.02


def test_no_predictions_have_an_ap_of_zero():
    sample = {**image_pair(0), "predicted_pairs": []}
    for counting in ("points", "predictions"):
        for tie in ("boxes", "points"):
            assert (aps([sample], counting=counting, tie=tie) == 0).all()


def test_no_points_have_no_ap():
    sample = perfect(image_pair(0))
    sample["object_pairs"] = np.zeros((0, 2), int)
    assert np.isnan(aps([sample])).all()
    assert np.isnan(aps([])).all()


def test_a_sparse_grid_touches_few_points():
    """Cells of s = 100 / 28 pixels: of a point, alpha's disc takes pi (alpha 141)^2 / s^2."""

    def true_grid(sample):
        def points(s, t):
            return np.concatenate(
                [grid(sample[k]["boxes"][i], 28) for k, i in (("source", s), ("target", t))], 1
            )

        sample["target"]["keypoints"] = sample["source"]["keypoints"].copy()
        for s, t in sample["object_pairs"]:
            shift = sample["source"]["boxes"][s, :2] - sample["target"]["boxes"][t, :2]
            sample["target"]["keypoints"][t] = sample["source"]["keypoints"][s] - shift
        pairs = sample["object_pairs"].tolist()
        return {**sample, "predicted_pairs": predicted(sample, pairs, points, 1.0)}

    samples = [image_pair(seed, scale=1.0) for seed in range(300)]
    for sample in samples:
        sample["object_pairs"] = sample["object_pairs"][[0, 3]]
    found = evaluate([true_grid(sample) for sample in samples])
    expected = np.pi * (0.0075 * np.hypot(100, 100)) ** 2 / (100 / 28) ** 2
    assert found["multi_object/AP_0.75"] == pytest.approx(expected, abs=0.04)
    assert found["multi_object/AP_3"] == 1


def test_own_diagonals_are_invariant_to_scale():
    """The same error relative to the box, at any size of the target."""

    def off_by(share, scale):
        sample = perfect(image_pair(1, scale=scale))
        for pair in sample["predicted_pairs"]:
            pair["correspondences"][:, 2] += share * np.hypot(100, 100) * scale
        return aps([sample])

    for scale in (0.5, 1.0, 3.0):
        np.testing.assert_array_equal(off_by(0.0125, scale), off_by(0.0125, 1.0))
        assert off_by(0.0125, scale)[1:].tolist() == [0, 0, 1, 1, 1]


def test_classes_are_averaged_or_pooled():
    sample = perfect(image_pair(0))
    both = np.concatenate([sample[k]["visible"][None] for k in ("source", "target")]).all(0)
    points = (
        both[2].sum(),
        sum(
            (sample["source"]["visible"][s] & sample["target"]["visible"][t]).sum()
            for s, t in [(0, 0), (0, 1), (1, 0)]
        ),
    )
    sample["predicted_pairs"] = sample["predicted_pairs"][-1:]
    np.testing.assert_allclose(aps([sample]), 0.5)
    np.testing.assert_allclose(aps([sample], average="pooled"), points[0] / sum(points))


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    tie=st.sampled_from(["boxes", "points"]),
    counting=st.sampled_from(["points", "predictions"]),
    recall=st.sampled_from(["printed", "all"]),
    dense=st.booleans(),
)
def test_invariant_to_the_order_of_the_input(seed, tie, counting, recall, dense):
    rng = np.random.default_rng(seed)
    samples = [guessed(image_pair(seed + i), seed + i, cells=6) for i in range(3)]
    samples += [perfect(image_pair(seed + i)) for i in range(3, 6)]
    for sample in samples if dense else []:
        for pair in sample["predicted_pairs"]:
            pair["score"] = rng.integers(0, 4, len(pair["correspondences"])) / 4
    shuffled = [copy.deepcopy(samples[i]) for i in rng.permutation(len(samples))]
    for sample in shuffled:
        rng.shuffle(sample["predicted_pairs"])
        sample["object_pairs"] = rng.permutation(sample["object_pairs"])
        for pair in sample["predicted_pairs"]:
            order = rng.permutation(len(pair["correspondences"]))
            pair["correspondences"] = pair["correspondences"][order]
            pair["score"] = pair["score"][order] if dense else pair["score"]
    kind = dict(tie=tie, counting=counting, recall=recall, thresholds=(0.02, 0.1, 0.3))
    first, second = evaluate(samples, **kind), evaluate(shuffled, **kind)
    assert first == pytest.approx(second, abs=1e-6)


@pytest.mark.parametrize("counting", ["points", "predictions"])
def test_results_do_not_grow_with_the_predictions(counting):
    sizes = []
    for cells in (10, 200):
        metric = MultiObjectCorrespondenceMetric(counting=counting)
        metric.process(None, [guessed(image_pair(0), 0, cells=cells)])
        (rows,) = metric.results
        sizes.append(rows.nbytes)
    assert max(sizes) <= 4 * 2 * 17 * 4  # 4 object pairs, 2 scores each, 17 numbers of 4 bytes


@pytest.mark.parametrize(
    "name", ["counting", "recall", "tie", "diagonal", "average", "interpolation"]
)
def test_rejects_unknown_choices(name):
    with pytest.raises(ValueError, match=f"Expected `{name}` to be one of .* but got 'other'"):
        MultiObjectCorrespondenceMetric(**{name: "other"})


@pytest.mark.parametrize("thresholds", [[], [0.0], [1.5], [float("nan")]])
def test_rejects_thresholds_out_of_range(thresholds):
    with pytest.raises(ValueError, match="Expected `thresholds` to be fractions of the diagonal"):
        MultiObjectCorrespondenceMetric(thresholds=thresholds)
