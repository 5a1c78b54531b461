"""Match predicted object pairs with annotated ones by their boxes."""

from __future__ import annotations

import numpy as np

from .arrays import Floats, Integers


def match_object_pairs(
    predicted: tuple[Floats, Floats],
    annotated: tuple[Floats, Floats],
    labels: tuple[Integers, Integers, Integers],
    scores: Floats,
    *,
    min_iou: float,
) -> dict[tuple[int, int], int]:
    """Match predicted and annotated object pairs one to one.

    Follows COCO's matching of detections: in descending order of score, each predicted pair takes
    the unmatched annotated pair of its class with the largest overlap. The overlap of two pairs is
    the smaller of their two IoUs. Equal scores are ordered by overlap, then by box coordinates, so
    the result does not depend on the order of the predictions.

    Args:
        predicted: ``(n, 4)`` source boxes and ``(n, 4)`` target boxes of the pairs.
        annotated: ``(S, 4)`` and ``(T, 4)`` boxes of *all* objects of the two images.
        labels: ``(n,)``, ``(S,)`` and ``(T,)`` classes.
        scores: ``(n,)`` confidences of the pairs.
        min_iou: smallest overlap of a match.

    Returns:
        Index of the predicted pair for each matched annotated pair ``(source object, target
        object)``.
    """
    overlaps = _pair_overlaps(predicted, annotated, labels)  # (n, S, T)
    if not overlaps.size:
        return {}
    best = overlaps.max((1, 2))
    boxes = np.concatenate(predicted, 1)
    matches: dict[tuple[int, int], int] = {}
    for index in np.lexsort([*boxes.T, -best, -scores]):
        pair = np.unravel_index(int(overlaps[index].argmax()), overlaps.shape[1:])
        if overlaps[index][pair] >= min_iou:
            matches[int(pair[0]), int(pair[1])] = int(index)
            overlaps[:, pair[0], pair[1]] = -1.0
    return matches


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
    """Compute the intersection over union of boxes.

    Args:
        first: ``(N, 4)`` boxes ``(x1, y1, x2, y2)``.
        second: ``(M, 4)`` boxes.

    Returns:
        ``(N, M)`` in [0, 1]; 0 for boxes without area.
    """
    start = np.maximum(first[:, None, :2], second[None, :, :2])
    end = np.minimum(first[:, None, 2:], second[None, :, 2:])
    intersection = (end - start).clip(0).prod(-1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(-1) for boxes in (first, second)]
    union = areas[0][:, None] + areas[1] - intersection
    return np.asarray(intersection / np.where(union > 0, union, 1.0))
