"""Which predictions the multi-object metric counts, and for which point."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from object_pairs import aps, guessed, image_pair, perfect


@pytest.mark.parametrize("tie", ["boxes", "points"])
def test_predictions_that_touch_no_point_are_ignored(tie):
    samples = [guessed(image_pair(seed), seed) for seed in range(3)]
    more = copy.deepcopy(samples)
    for sample in more:
        for pair in sample["predicted_pairs"]:
            far = np.full((50, 4), 5000.0)
            pair["correspondences"] = np.concatenate([pair["correspondences"], far])
    np.testing.assert_array_equal(aps(samples, tie=tie), aps(more, tie=tie))


def test_printed_formulas_count_far_predictions_in_the_recall():
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
    """With tie='points', only the partner nearest to the prediction is used."""
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


def test_only_the_highest_score_is_counted_for_a_point():
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
        pair["score"] = 0.5  # equal scores and distances: the mean
    np.testing.assert_allclose(aps([sample]), 0.5)
    np.testing.assert_allclose(aps([sample], recall="all"), 0.25)  # 1/2 of the points at 1/2
