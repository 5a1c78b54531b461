"""Two rules of matching detections with objects for VOC12's mask AP; publications use both.

``"sds"`` (Hariharan et al., SDS, ECCV 2014; also chainercv): a detection is assigned to the object
of largest IoU. It is a hit if the IoU is **at least** the threshold and no detection of a higher
score has hit this object. A second detection of an object is a false positive.

``"bbtp"`` (Matlab code of Hsu et al., BBTP, NeurIPS 2019; used for the paper's Table 2): a
detection is assigned to the object of largest IoU **among those not yet hit**, and is a hit if the
IoU is **above** the threshold. A second detection of an object may hit another one.

Example: in a row of seven pixels, object A covers the first four and B the last three, and two
detections cover all seven. Their IoU is 4/7 with A and 3/7 with B. At the threshold 0.25, "sds"
assigns both to A: a hit and a false positive, AP 1/2. With "bbtp" the second hits B: AP 1. A
detection of the first two pixels has IoU 1/2 with A: at the threshold 0.5 a hit for "sds", but not
for "bbtp".
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .arrays import Flags, Floats

MATCHERS = ("sds", "bbtp")


def check_matcher(matcher: str) -> None:
    """Raise a ValueError for an unknown matching rule."""
    if matcher not in MATCHERS:
        raise ValueError(f"Expected `matcher` to be one of {MATCHERS}, but got {matcher!r}.")


def match_detections(ious: Floats, *, thresholds: Sequence[float], matcher: str) -> Flags:
    """Match the detections of one class in one image with its objects.

    Args:
        ious: (D, G) IoU of D detections, by descending score, with G objects.
        thresholds: T IoU thresholds.
        matcher: "sds" or "bbtp", see the module.

    Returns:
        (T, D), True for a hit.

    Raises:
        ValueError: if the matcher is unknown.
    """
    check_matcher(matcher)
    if ious.size == 0:
        return np.zeros((len(thresholds), len(ious)), dtype=bool)
    rule = _match_sds if matcher == "sds" else _match_bbtp
    return rule(ious, np.asarray(thresholds, dtype=float))


def _match_sds(ious: Floats, thresholds: Floats) -> Flags:
    hits = np.zeros((len(thresholds), len(ious)), dtype=bool)
    best, overlaps = ious.argmax(axis=1), ious.max(axis=1)
    for row, threshold in zip(hits, thresholds, strict=True):
        candidates = np.flatnonzero(overlaps >= threshold)
        _, first = np.unique(best[candidates], return_index=True)
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


def exceeds_thresholds(overlaps: Floats, *, thresholds: Sequence[float], matcher: str) -> Flags:
    """Compare overlaps with thresholds: at least for "sds", above for "bbtp".

    Args:
        overlaps: (D,) overlaps in [0, 1].
        thresholds: T thresholds.
        matcher: "sds" or "bbtp".

    Returns:
        (T, D) boolean.
    """
    limits = np.asarray(thresholds, dtype=float)[:, None]
    return overlaps >= limits if matcher == "sds" else overlaps > limits
