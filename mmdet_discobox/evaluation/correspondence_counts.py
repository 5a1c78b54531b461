"""Count true positives, false positives and false negatives of one set of predictions.

A predicted correspondence ``p_i`` and a ground truth ``g_j`` are points of a source and of a target
image. ``p_i`` *touches* ``g_j`` if ``|p_i^s - g_j^s| <= alpha``, and *hits* it if ``|p_i^t - g_j^t|
<= alpha`` as well. Distances are in units of box diagonals, one for each side.

Both functions return counts: a row ``score, TP.., FP.., FN..`` for each distinct score, of ``K``
thresholds each. False negatives have no score of their own: their rows are at 0, and their sum is
what matters.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def count_points(
    near: Floats, far: Floats, scores: Floats, thresholds: Floats, charged: NDArray[np.bool_]
) -> Floats:
    """Count each ground-truth point once: key-point transfer.

    Of the predictions that touch a point, the one with the highest score stands for it; of those
    with equal scores the one that is nearest at the source; those equally near share. It is a true
    positive if it hits, else a false positive. A point that nothing touches is a false negative.

    Args:
        near: ``(n, m)`` distances at the source, of ``n`` predictions to ``m`` points.
        far: ``(n, m)`` distances at the target.
        scores: ``(n,)`` confidences.
        thresholds: ``(K,)`` values of alpha.
        charged: ``(n, m)``, which prediction may touch which point.

    Returns:
        ``(r, 1 + 3K)`` counts; ``r`` is no larger than ``m K + 1``, however many predictions.
    """
    kept = (near <= thresholds.max()).any(1)
    near, far, scores, charged = near[kept], far[kept], scores[kept], charged[kept]
    alpha = thresholds[:, None, None]
    touches = (near <= alpha) & charged  # (K, n, m)
    rank = np.where(touches, scores[:, None], -1.0)
    best = rank.max(1, initial=-1.0)  # (K, m)
    touches &= rank == best[:, None]
    distance = np.where(touches, near, np.inf)
    touches &= distance == distance.min(1, initial=np.inf)[:, None]
    touched = best >= 0
    hits = (touches & (far <= alpha)).sum(1) / np.maximum(touches.sum(1), 1)  # (K, m)
    return _sum_by_score(np.where(touched, best, 0.0), hits, touched - hits, ~touched)


def count_predictions(
    near: Floats, far: Floats, scores: Floats, thresholds: Floats, charged: NDArray[np.bool_]
) -> Floats:
    """Count each prediction once: the formulas of Sec. 4.1 as they are printed.

    ``TP_i`` is the share of the points touched by ``p_i`` that it hits, ``FP_i`` the share that it
    does not, ``FN_i`` is 1 if it touches none.

    Args:
        near: As in :func:`count_points`.
        far: As in :func:`count_points`.
        scores: ``(n,)`` confidences; rounded to 3 digits, so that the counts stay small.
        thresholds: As in :func:`count_points`.
        charged: As in :func:`count_points`.

    Returns:
        ``(r, 1 + 3K)`` counts; ``r`` is at most 1,001.
    """
    alpha = thresholds[:, None, None]
    touches = (near <= alpha) & charged  # (K, n, m)
    number = touches.sum(2)  # (K, n)
    hits = (touches & (far <= alpha)).sum(2) / np.maximum(number, 1)
    found = number > 0
    rounded = np.where(found, scores.round(3), 0.0)
    return _sum_by_score(rounded, hits, found - hits, ~found)


def _sum_by_score(scores: Floats, tp: Floats, fp: Floats, fn: NDArray[np.bool_]) -> Floats:
    """Add up what has one score; all arguments are ``(K, r)``."""
    levels, place = np.unique(scores, return_inverse=True)
    K = len(scores)
    column = np.broadcast_to(np.arange(K)[:, None], scores.shape)
    sums = np.zeros((3, len(levels), K))
    for total, values in zip(sums, (tp, fp, fn), strict=True):
        np.add.at(total, (place.reshape(scores.shape), column), values)
    return np.concatenate([levels[:, None], *sums], 1)
