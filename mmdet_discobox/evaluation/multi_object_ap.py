"""Average precision of predicted correspondences (Sec. 4.1)."""

from __future__ import annotations

from typing import Literal

import numpy as np

from .arrays import Floats

Recall = Literal["printed", "all"]
Interpolation = Literal["area", "101"]

_ROUND_OFF = 1e-6  # sums of fractions may give a recall slightly below 1


def multi_object_ap(
    counts: Floats, *, recall: Recall = "printed", interpolation: Interpolation = "area"
) -> Floats:
    """Compute the average precision at each threshold.

    Correspondences are ranked by score. Equal scores form one point of the curve, because their
    order is undefined: in the paper the score belongs to a pair of boxes and is shared by hundreds
    of correspondences. Precision is made monotone from the right.

    Args:
        counts: ``(r, 1 + 3K)`` rows ``score, TP.., FP.., FN..`` in any order, see
            :mod:`.correspondence_counts`.
        recall: ``printed`` is ``TP / (TP + FN)`` with the paper's FN, which excludes wrong
            predictions; ``all`` is ``TP / (TP + FP + FN)``. The denominator includes all scores.
        interpolation: ``area`` under the curve (VOC since 2010), or the mean precision at ``101``
            recalls (COCO).

    Returns:
        ``(K,)`` in [0, 1]; 0 without a true positive, NaN without any row.

    Raises:
        ValueError: if `counts` has another shape.
    """
    if counts.ndim != 2 or counts.shape[1] % 3 != 1:
        raise ValueError(f"Expected `counts` of shape (r, 1 + 3K) but got {counts.shape}.")
    levels, level_of = np.unique(-counts[:, 0].astype(np.float64), return_inverse=True)
    sums = np.zeros((len(levels), counts.shape[1] - 1))
    np.add.at(sums, level_of.reshape(-1), counts[:, 1:])
    tp, fp, fn = np.split(sums, 3, axis=1)  # (levels, K) each
    positives = (tp + fn + fp if recall == "all" else tp + fn).sum(0)
    curves = zip(tp.cumsum(0).T, fp.cumsum(0).T, positives, strict=True)
    return np.array([_ap(*curve, interpolation) for curve in curves])


def _ap(tp: Floats, fp: Floats, positives: float, interpolation: Interpolation) -> float:
    if positives == 0:
        return 0.0 if len(tp) else float("nan")
    recall = tp / positives
    precision = tp / np.maximum(tp + fp, np.finfo(float).tiny)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    if interpolation == "area":
        return float((np.diff(recall, prepend=0.0) * precision).sum())
    indices = np.searchsorted(recall, np.linspace(0, 1, 101) - _ROUND_OFF)
    return float(np.append(precision, 0.0)[indices].mean())
