"""Tie predicted object pairs to annotated ones by their boxes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def tie_object_pairs(
    predicted: tuple[Floats, Floats],
    annotated: tuple[Floats, Floats],
    labels: tuple[Integers, Integers, Integers],
    scores: Floats,
    *,
    min_iou: float,
) -> dict[tuple[int, int], int]:
    """Give each annotated object pair at most one predicted pair, and the other way round.

    As detections are matched in COCO: in the order of their scores, each predicted pair takes the
    free pair of objects of its class that it overlaps most. The overlap of two pairs is the smaller
    of their two IoUs. Ties of scores go by the overlap, then by the boxes, so the order of the
    predictions means nothing.

    Args:
        predicted: ``(n, 4)`` source boxes and ``(n, 4)`` target boxes of the pairs.
        annotated: ``(S, 4)`` and ``(T, 4)`` boxes of *all* objects of the two images.
        labels: ``(n,)``, ``(S,)`` and ``(T,)`` classes.
        scores: ``(n,)`` confidences of the pairs.
        min_iou: The least overlap of a tie.

    Returns:
        The predicted pair of each annotated pair ``(source object, target object)`` that got one.
    """
    overlaps = _pair_overlaps(predicted, annotated, labels)  # (n, S, T)
    if not overlaps.size:
        return {}
    best = overlaps.max((1, 2))
    boxes = np.concatenate(predicted, 1)
    ties: dict[tuple[int, int], int] = {}
    for index in np.lexsort([*boxes.T, -best, -scores]):
        place = np.unravel_index(int(overlaps[index].argmax()), overlaps.shape[1:])
        if overlaps[index][place] >= min_iou:
            ties[int(place[0]), int(place[1])] = int(index)
            overlaps[:, place[0], place[1]] = -1.0
    return ties


def _pair_overlaps(
    predicted: tuple[Floats, Floats],
    annotated: tuple[Floats, Floats],
    labels: tuple[Integers, Integers, Integers],
) -> Floats:
    of_pair, of_source, of_target = labels
    source, target = (iou(*boxes) for boxes in zip(predicted, annotated, strict=True))
    same = (of_pair[:, None, None] == of_source[:, None]) & (of_pair[:, None, None] == of_target)
    overlaps = np.minimum(source[:, :, None], target[:, None, :])
    return np.where(same, overlaps, -1.0)  # (n, S, T)


def iou(first: Floats, second: Floats) -> Floats:
    """Intersection over union of boxes.

    Args:
        first: ``(N, 4)`` boxes ``(x1, y1, x2, y2)``.
        second: ``(M, 4)`` boxes.

    Returns:
        ``(N, M)`` from 0 to 1; boxes without area overlap nothing.
    """
    corner = np.maximum(first[:, None, :2], second[None, :, :2])
    end = np.minimum(first[:, None, 2:], second[None, :, 2:])
    common = (end - corner).clip(0).prod(-1)
    areas: Sequence[Floats] = [(boxes[:, 2:] - boxes[:, :2]).prod(-1) for boxes in (first, second)]
    union = areas[0][:, None] + areas[1] - common
    return np.asarray(common / np.where(union > 0, union, 1.0))
