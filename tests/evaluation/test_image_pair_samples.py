"""Samples of the multi-object metric: arrays or tensors, and rejected input."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from object_pairs import aps, evaluate, guessed, image_pair, perfect


def test_tensors_equal_arrays():
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
def test_rejects_wrong_predictions(fields, match):
    with pytest.raises(ValueError, match=match):
        evaluate([broken(**fields)])


def test_rejects_pairs_of_two_classes():
    sample = {**perfect(image_pair(0)), "object_pairs": np.array([[0, 0], [0, 2]])}
    with pytest.raises(ValueError, match=r"pair objects of one class.*pair \[0, 2\]"):
        evaluate([sample])
