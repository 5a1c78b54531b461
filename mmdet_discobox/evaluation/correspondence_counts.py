"""Count true positives, false positives and false negatives of predicted correspondences.

A predicted correspondence ``p_i`` and a ground truth ``g_j`` are points of a source and a target
image. ``p_i`` *touches* ``g_j`` if ``|p_i^s - g_j^s| <= alpha``, and *hits* it if also
``|p_i^t - g_j^t| <= alpha``. Distances are in units of box diagonals, one for each side.

Both functions return one row ``score, TP.., FP.., FN..`` per distinct score, with ``K`` thresholds
each. False negatives have no score: their rows have score 0, and only their sum matters.
"""

from __future__ import annotations

import numpy as np

from .arrays import Flags, Floats


def count_points(
    source_distances: Floats,
    target_distances: Floats,
    scores: Floats,
    thresholds: Floats,
    allowed: Flags,
) -> Floats:
    """Count each ground-truth point once, as in key-point transfer.

    Of the predictions that touch a point, the one with the highest score is evaluated; of equal
    scores the nearest at the source; of equally near ones the mean. It is a true positive if it
    hits, else a false positive. A point that no prediction touches is a false negative.

    Args:
        source_distances: ``(n, m)`` distances of ``n`` predictions to ``m`` points at the source.
        target_distances: ``(n, m)`` distances at the target.
        scores: ``(n,)`` confidences.
        thresholds: ``(K,)`` values of alpha.
        allowed: ``(n, m)``, whether a prediction may touch a point.

    Returns:
        ``(r, 1 + 3K)`` counts; ``r`` is at most ``m K + 1``, independent of ``n``.
    """
    kept = (source_distances <= thresholds.max()).any(1)
    source_distances, target_distances = source_distances[kept], target_distances[kept]
    alpha = thresholds[:, None, None]
    touches = (source_distances <= alpha) & allowed[kept]  # (K, n, m)
    rank = np.where(touches, scores[kept, None], -1.0)
    best = rank.max(1, initial=-1.0)  # (K, m)
    touches &= rank == best[:, None]
    distance = np.where(touches, source_distances, np.inf)
    touches &= distance == distance.min(1, initial=np.inf)[:, None]
    touched = best >= 0
    hits = (touches & (target_distances <= alpha)).sum(1) / np.maximum(touches.sum(1), 1)  # (K, m)
    return _sum_by_score(np.where(touched, best, 0.0), hits, touched - hits, ~touched)


def count_predictions(
    source_distances: Floats,
    target_distances: Floats,
    scores: Floats,
    thresholds: Floats,
    allowed: Flags,
) -> Floats:
    """Count each prediction once, by the formulas of Sec. 4.1 as printed.

    ``TP_i`` is the fraction of the points touched by ``p_i`` that it hits, ``FP_i`` the fraction
    that it does not hit, ``FN_i`` is 1 if it touches none.

    Args:
        source_distances: see :func:`count_points`.
        target_distances: see :func:`count_points`.
        scores: ``(n,)`` confidences; rounded to 3 digits, which limits the number of rows.
        thresholds: see :func:`count_points`.
        allowed: see :func:`count_points`.

    Returns:
        ``(r, 1 + 3K)`` counts; ``r`` is at most 1,001.
    """
    alpha = thresholds[:, None, None]
    touches = (source_distances <= alpha) & allowed  # (K, n, m)
    number = touches.sum(2)  # (K, n)
    hits = (touches & (target_distances <= alpha)).sum(2) / np.maximum(number, 1)
    touching = number > 0
    rounded = np.where(touching, scores.round(3), 0.0)
    return _sum_by_score(rounded, hits, touching - hits, ~touching)


def _sum_by_score(scores: Floats, tp: Floats, fp: Floats, fn: Flags) -> Floats:
    """Sum the counts of equal scores; all arguments are ``(K, r)``."""
    levels, level_of = np.unique(scores, return_inverse=True)
    K = len(scores)
    column = np.broadcast_to(np.arange(K)[:, None], scores.shape)
    sums = np.zeros((3, len(levels), K))
    for total, values in zip(sums, (tp, fp, fn), strict=True):
        np.add.at(total, (level_of.reshape(scores.shape), column), values)
    return np.concatenate([levels[:, None], *sums], 1)
