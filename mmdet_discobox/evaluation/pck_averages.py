"""How the key points of many pairs become one number."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def average_pck(
    average: str,
    *,
    correct: Integers,
    points: Integers,
    labels: Integers,
) -> Floats:
    """Average over pairs that have a key point each at least.

    Args:
        average: One of :data:`AVERAGES`.
        correct: ``(M, A)`` number of correct points of each pair at each threshold.
        points: ``(M,)`` number of points of each pair, above 0.
        labels: ``(M,)`` class of each pair.

    Returns:
        ``(A,)`` fractions, NaN if there are no pairs.
    """
    if not len(points):
        return np.full(correct.shape[1], np.nan)
    return AVERAGES[average](correct, points, labels)


def _over_pairs(correct: Integers, points: Integers, labels: Integers) -> Floats:
    return (correct / points[:, None]).mean(axis=0)


def _over_points(correct: Integers, points: Integers, labels: Integers) -> Floats:
    return correct.sum(axis=0) / points.sum()


def _over_classes(correct: Integers, points: Integers, labels: Integers) -> Floats:
    return _of_classes(correct, points, labels)[0].mean(axis=0)


def _over_classes_by_pairs(correct: Integers, points: Integers, labels: Integers) -> Floats:
    fractions, pairs = _of_classes(correct, points, labels)
    return np.average(fractions, axis=0, weights=pairs)


def _of_classes(correct: Integers, points: Integers, labels: Integers) -> tuple[Floats, Integers]:
    """Return each class's fraction of its points, and its number of pairs."""
    members = labels == np.unique(labels)[:, None]  # (classes, M)
    return (members @ correct) / (members @ points)[:, None], members.sum(axis=1)


AVERAGES: dict[str, Callable[[Integers, Integers, Integers], Floats]] = {
    "pairs": _over_pairs,
    "points": _over_points,
    "classes": _over_classes,
    "classes_by_pairs": _over_classes_by_pairs,
}
"""``pairs``: the mean of the pairs' PCK, so each pair weighs the same. ``points``: each key point
weighs the same. ``classes``: each class, of whose points the PCK is taken, weighs the same;
``classes_by_pairs``: it weighs as many as its pairs."""
