"""The two rules by which VOC12's mask AP is judged. Published numbers mix them.

``"sds"``, of Hariharan et al. (SDS, ECCV 2014), also in chainercv: a detection belongs to the
object it overlaps most. It is a hit if that IoU is **at least** the threshold and no detection with
a higher score has hit this object. The second detection on an object is a false positive.

``"bbtp"``, of the Matlab code of Hsu et al. (BBTP, NeurIPS 2019), with which the paper's Table 2
was made: a detection belongs to the object it overlaps most **among those not yet hit**, and is a
hit if that IoU is **above** the threshold. The second detection on an object may hit another one.

Where they differ: in a row of seven pixels, an object A has the first four and B the last three,
and two detections cover all seven. Their IoU is 4/7 with A and 3/7 with B. At the threshold 0.25,
under "sds" both belong to A: a hit and a false positive, AP 1/2. Under "bbtp" the second hits B:
AP 1. And a detection of the first two pixels has IoU 1/2 with A: a hit at the threshold 0.5 under
"sds", none under "bbtp".
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

MATCHERS = ("sds", "bbtp")

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


def check_matcher(matcher: str) -> None:
    """Raise a ValueError if there is no rule of this name."""
    if matcher not in MATCHERS:
        raise ValueError(f"Expected `matcher` to be one of {MATCHERS}, but got {matcher!r}.")


def match(ious: Floats, *, thresholds: Sequence[float], matcher: str) -> Flags:
    """Judge the detections of one class in one image.

    Args:
        ious: (D, G) overlaps, in [0, 1], of D detections by descending score with G objects.
        thresholds: T overlaps to ask for.
        matcher: "sds" or "bbtp", see the module.

    Returns:
        (T, D) True for a hit.

    Raises:
        ValueError: If there is no such matcher.
    """
    check_matcher(matcher)
    if ious.size == 0:
        return np.zeros((len(thresholds), len(ious)), dtype=bool)
    rule = _match_sds if matcher == "sds" else _match_bbtp
    return rule(ious, np.asarray(thresholds, dtype=float))


def _match_sds(ious: Floats, thresholds: Floats) -> Flags:
    hits = np.zeros((len(thresholds), len(ious)), dtype=bool)
    wanted, overlaps = ious.argmax(axis=1), ious.max(axis=1)
    for row, threshold in zip(hits, thresholds, strict=True):
        candidates = np.flatnonzero(overlaps >= threshold)
        _, first = np.unique(wanted[candidates], return_index=True)
        row[candidates[first]] = True
    return hits


def _match_bbtp(ious: Floats, thresholds: Floats) -> Flags:
    hits = np.zeros((len(thresholds), len(ious)), dtype=bool)
    taken = np.zeros((len(thresholds), ious.shape[1]), dtype=bool)
    rows = np.arange(len(thresholds))
    for index, overlaps in enumerate(ious):
        free = np.where(taken, -1.0, overlaps)  # (T, G)
        best = free.argmax(axis=1)
        hits[:, index] = free[rows, best] > thresholds
        taken[rows, best] |= hits[:, index]
    return hits


def passes(overlaps: Floats, *, thresholds: Sequence[float], matcher: str) -> Flags:
    """Compare overlaps with the thresholds as a matcher does.

    Args:
        overlaps: (D,) overlaps in [0, 1].
        thresholds: T overlaps to ask for.
        matcher: "sds" or "bbtp".

    Returns:
        (T, D) whether an overlap is enough.
    """
    limits = np.asarray(thresholds, dtype=float)[:, None]
    return overlaps >= limits if matcher == "sds" else overlaps > limits
