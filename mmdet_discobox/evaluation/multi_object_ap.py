"""Average precision of predicted correspondences, from counts (Sec. 4.1)."""

from __future__ import annotations

from typing import Literal

import numpy as np

from .correspondence_counts import Floats

Recall = Literal["printed", "all"]
Interpolation = Literal["area", "101"]

_ROUND_OFF = 1e-6  # of sums of shares: a recall of 1 may come out a little below it


def multi_object_ap(
    counts: Floats, *, recall: Recall = "printed", interpolation: Interpolation = "area"
) -> Floats:
    """Compute the average precision at each threshold.

    Correspondences are taken in the order of their scores. Those of one score come together, since
    nothing says which is first: the paper's score is that of a pair of boxes, which hundreds share.
    Precision is made monotone from the right.

    Args:
        counts: ``(r, 1 + 3K)`` rows ``score, TP.., FP.., FN..`` in any order, as of
            :mod:`.correspondence_counts`.
        recall: ``printed`` is ``TP / (TP + FN)`` as the paper defines FN, where a wrong prediction
            is no FN; ``all`` is ``TP / (TP + FP + FN)``. Below the line are all predictions,
            whatever their scores.
        interpolation: ``area`` under the curve (VOC since 2010), or the mean precision at ``101``
            recalls (COCO).

    Returns:
        ``(K,)`` from 0 to 1: 0 where nothing was right, NaN without any row.

    Raises:
        ValueError: If the counts have another shape.
    """
    if counts.ndim != 2 or counts.shape[1] % 3 != 1:
        raise ValueError(f"Expected `counts` of shape (r, 1 + 3K) but got {counts.shape}.")
    levels, place = np.unique(-counts[:, 0].astype(np.float64), return_inverse=True)
    sums = np.zeros((len(levels), counts.shape[1] - 1))
    np.add.at(sums, place.reshape(-1), counts[:, 1:])
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
    places = np.searchsorted(recall, np.linspace(0, 1, 101) - _ROUND_OFF)
    return float(np.append(precision, 0.0)[places].mean())
