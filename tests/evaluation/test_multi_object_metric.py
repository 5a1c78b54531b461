from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.registry import METRICS

from mmdet_discobox.evaluation import MultiObjectCorrespondenceMetric

NAMES = ["AP", "AP_0.75", "AP_1", "AP_1.5", "AP_2", "AP_3"]
POINTS = 5


def side(rng, count, scale, labels):
    """Objects in a row, 100 pixels of `scale` wide, whose points are anywhere in them."""
    corner = np.stack([np.arange(count) * 150.0, np.zeros(count)], 1) * scale
    boxes = np.concatenate([corner, corner + 100 * scale], 1)
    keypoints = corner[:, None] + rng.uniform(0, 100 * scale, (count, POINTS, 2))
    visible = rng.random((count, POINTS)) < 0.7
    visible[:, 0] = True
    return {"boxes": boxes, "labels": labels, "keypoints": keypoints, "visible": visible}


def image_pair(seed, *, scale=2.0):
    """Two objects of class 0 and one of class 1 in both images; one pair of the four is ignored."""
    rng = np.random.default_rng(seed)
    labels = np.array([0, 0, 1])
    return {
        "source": side(rng, 3, 1.0, labels),
        "target": side(rng, 3, scale, labels),
        "object_pairs": np.array([[0, 0], [0, 1], [1, 0], [2, 2]]),
    }


def predicted(sample, pairs, correspond, score):
    source, target = sample["source"], sample["target"]
    return [
        {
            "source_box": source["boxes"][s],
            "target_box": target["boxes"][t],
            "label": source["labels"][s],
            "correspondences": correspond(s, t),
            "score": score,
        }
        for s, t in pairs
    ]


def perfect(sample, *, score=0.5):
    """The key points of all pairs, also of the one to be ignored, and points far from all."""

    def points(s, t):
        ends = [sample[name]["keypoints"][i] for name, i in (("source", s), ("target", t))]
        true = np.concatenate(ends, 1)
        return np.concatenate([true, np.full((7, 4), -999.0)])

    pairs = [(0, 0), (0, 1), (1, 0), (1, 1), (2, 2)]
    return {**sample, "predicted_pairs": predicted(sample, pairs, points, score)}


def grid(box, cells):
    steps = (np.arange(cells) + 0.5) / cells
    unit = np.stack(np.meshgrid(steps, steps), -1).reshape(-1, 2)
    return box[:2] + unit * (box[2:] - box[:2])


def guessed(sample, seed, *, cells=28):
    rng = np.random.default_rng(seed)

    def points(s, t):
        ends = [grid(sample[k]["boxes"][i], cells) for k, i in (("source", s), ("target", t))]
        return np.concatenate([ends[0], rng.permutation(ends[1])], 1)

    pairs = sample["object_pairs"].tolist()
    return {**sample, "predicted_pairs": predicted(sample, pairs, points, rng.random())}


def evaluate(samples, **settings):
    metric = MultiObjectCorrespondenceMetric(**settings)
    for sample in samples:
        metric.process(None, [sample])
    return metric.evaluate(len(samples))


def aps(samples, **settings):
    return np.array([evaluate(samples, **settings)[f"multi_object/{name}"] for name in NAMES])


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


@pytest.mark.parametrize("tie", ["boxes", "points"])
def test_what_touches_no_point_is_ignored(tie):
    samples = [guessed(image_pair(seed), seed) for seed in range(3)]
    more = copy.deepcopy(samples)
    for sample in more:
        for pair in sample["predicted_pairs"]:
            far = np.full((50, 4), 5000.0)
            pair["correspondences"] = np.concatenate([pair["correspondences"], far])
    np.testing.assert_array_equal(aps(samples, tie=tie), aps(more, tie=tie))


def test_as_printed_far_predictions_lower_recall():
    def one(far):
        sample = image_pair(0)
        sample["object_pairs"] = sample["object_pairs"][3:]
        sample["source"]["visible"][2] = sample["target"]["visible"][2] = [1, 0, 0, 0, 0]
        sample = perfect(sample)
        pair = sample["predicted_pairs"][-1]
        pair["correspondences"] = pair["correspondences"][[0] + [-1] * far]
        return aps([sample], counting="predictions")

    np.testing.assert_allclose(one(0), 1)
    np.testing.assert_allclose(one(3), 1 / 4)  # TP 1, FN 3


def test_a_point_may_have_partners_in_two_objects():
    """Without ties, a source point is judged by the partner that is nearest to the prediction."""
    sample = perfect(image_pair(0))
    first, second = sample["predicted_pairs"][:2]
    sample["object_pairs"] = np.array([[0, 0], [0, 1]])
    sample["source"]["visible"][0] = sample["target"]["visible"][:2] = True
    sample["predicted_pairs"] = [first, second]
    np.testing.assert_allclose(aps([sample], tie="points"), 1)
    sample["predicted_pairs"] = [first]
    np.testing.assert_allclose(aps([sample], tie="points"), 0.5)


def test_a_second_detection_of_a_pair_is_ignored():
    sample = perfect(image_pair(0))
    worse = copy.deepcopy(sample["predicted_pairs"])
    for pair in worse:
        pair["score"] = 0.1
        pair["correspondences"][:, 2:] += 50
    sample["predicted_pairs"] += worse
    np.testing.assert_allclose(aps([sample]), 1)


def test_the_surest_prediction_stands_for_a_point():
    sample = perfect(image_pair(0))
    for pair in sample["predicted_pairs"]:
        wrong = pair["correspondences"] + [0, 0, 50, 50]
        pair["correspondences"] = np.concatenate([pair["correspondences"], wrong])
        right = len(wrong)
        pair["score"] = np.repeat([0.9, 0.2], right)
    np.testing.assert_allclose(aps([sample]), 1)
    for pair in sample["predicted_pairs"]:
        pair["score"] = pair["score"][::-1]
    np.testing.assert_allclose(aps([sample]), 0)
    for pair in sample["predicted_pairs"]:
        pair["score"] = 0.5  # neither is surer or nearer: they share
    np.testing.assert_allclose(aps([sample]), 0.5)
    np.testing.assert_allclose(aps([sample], recall="all"), 0.25)  # 1/2 of the points at 1/2


def test_own_diagonals_do_not_see_the_scale():
    """The same error, in shares of the box, at whatever size of the target."""

    def off_by(share, scale):
        sample = perfect(image_pair(1, scale=scale))
        for pair in sample["predicted_pairs"]:
            pair["correspondences"][:, 2] += share * np.hypot(100, 100) * scale
        return aps([sample])

    for scale in (0.5, 1.0, 3.0):
        np.testing.assert_array_equal(off_by(0.0125, scale), off_by(0.0125, 1.0))
        assert off_by(0.0125, scale)[1:].tolist() == [0, 0, 1, 1, 1]


def test_classes_weigh_alike_or_by_their_points():
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
def test_order_means_nothing(seed, tie, counting, recall, dense):
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


def test_tensors_are_as_good_as_arrays():
    sample = guessed(image_pair(4), 4)
    expected = aps([sample], thresholds=[0.0075, 0.01, 0.015, 0.02, 0.03])
    tensors = {key: value for key, value in sample.items() if key != "predicted_pairs"}
    for name in ("source", "target"):
        tensors[name] = {key: torch.as_tensor(value) for key, value in sample[name].items()}
    tensors["object_pairs"] = torch.as_tensor(sample["object_pairs"])
    tensors["predicted_pairs"] = [
        {key: torch.as_tensor(value) for key, value in pair.items()}
        for pair in sample["predicted_pairs"]
    ]
    np.testing.assert_array_equal(aps([tensors]), expected)


@pytest.mark.parametrize("counting", ["points", "predictions"])
def test_memory_does_not_grow_with_the_pixels(counting):
    sizes = []
    for cells in (10, 200):
        metric = MultiObjectCorrespondenceMetric(counting=counting)
        metric.process(None, [guessed(image_pair(0), 0, cells=cells)])
        (rows,) = metric.results
        sizes.append(rows.nbytes)
    assert max(sizes) <= 4 * 2 * 17 * 4  # 4 object pairs, 2 scores each, 17 numbers of 4 bytes


def broken(**fields):
    sample = perfect(image_pair(0))
    sample["predicted_pairs"][0].update(fields)
    return sample


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        (dict(correspondences=np.zeros((3, 2))), r"`correspondences` of shape \(n, 4\).*\(3, 2\)"),
        (dict(correspondences=np.full((3, 4), np.nan)), "finite `correspondences`"),
        (dict(score=np.zeros(3)), r"`score` to be a number or of shape \(12,\)"),
        (dict(score=1.5), "each `score` from 0 to 1 but got 1.5"),
        (dict(score=float("nan")), "each `score` from 0 to 1 but got nan"),
    ],
)
def test_rejects_predictions_that_are_none(fields, match):
    with pytest.raises(ValueError, match=match):
        evaluate([broken(**fields)])


def test_rejects_pairs_of_two_classes():
    sample = {**perfect(image_pair(0)), "object_pairs": np.array([[0, 0], [0, 2]])}
    with pytest.raises(ValueError, match=r"pair objects of one class.*pair \[0, 2\]"):
        evaluate([sample])


@pytest.mark.parametrize(
    "name", ["counting", "recall", "tie", "diagonal", "average", "interpolation"]
)
def test_rejects_unknown_choices(name):
    with pytest.raises(ValueError, match=f"Expected `{name}` to be one of .* but got 'other'"):
        MultiObjectCorrespondenceMetric(**{name: "other"})


@pytest.mark.parametrize("thresholds", [[], [0.0], [1.5], [float("nan")]])
def test_rejects_thresholds_that_are_no_shares(thresholds):
    with pytest.raises(ValueError, match="Expected `thresholds` to be shares of the diagonal"):
        MultiObjectCorrespondenceMetric(thresholds=thresholds)
