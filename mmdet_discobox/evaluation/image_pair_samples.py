"""Read the samples of ``MultiObjectCorrespondenceMetric`` as arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from .arrays import Flags, Floats, Integers, to_array


class GroundTruth(NamedTuple):
    """The ``m`` ground-truth points of an image pair.

    Attributes:
        points: ``(m, 4)`` coordinates at the source and at the target.
        diagonals: ``(m, 2)`` diagonals of the boxes of the two objects.
        labels: ``(m,)`` classes.
        pair: ``(m,)`` index of the object pair.
        source_point: ``(m,)`` id of the source key point; equal for several target objects.
    """

    points: Floats
    diagonals: Floats
    labels: Integers
    pair: Integers
    source_point: Integers

    def select(self, chosen: Flags) -> GroundTruth:
        """Select points by a mask.

        Args:
            chosen: ``(m,)``.

        Returns:
            The chosen points.
        """
        return GroundTruth(
            self.points[chosen],
            self.diagonals[chosen],
            self.labels[chosen],
            self.pair[chosen],
            self.source_point[chosen],
        )


class Prediction(NamedTuple):
    """Predicted correspondences of a pair of boxes.

    Attributes:
        label: class.
        boxes: ``(2, 4)`` source and target box.
        correspondences: ``(n, 4)`` coordinates at the source and at the target.
        scores: ``(n,)`` confidences.
    """

    label: int
    boxes: Floats
    correspondences: Floats
    scores: Floats


def read_ground_truth(sample: Mapping[str, Any]) -> GroundTruth:
    """Collect the key points visible in both objects of each pair.

    Args:
        sample: ``source``, ``target`` and ``object_pairs``.

    Returns:
        The points, ordered by object pair.

    Raises:
        ValueError: if the objects of a pair have different classes.
    """
    source, target = sample["source"], sample["target"]
    pairs = to_array(sample["object_pairs"], np.int64).reshape(-1, 2)
    labels = to_array(source["labels"], np.int64)[pairs[:, 0]]
    if (wrong := labels != to_array(target["labels"], np.int64)[pairs[:, 1]]).any():
        raise ValueError(
            "Expected `object_pairs` to pair objects of one class, but source and target of pair "
            f"{pairs[wrong][0].tolist()} have different classes. Pair objects by their labels."
        )
    visible = to_array(source["visible"], np.bool_)[pairs[:, 0]]
    visible &= to_array(target["visible"], np.bool_)[pairs[:, 1]]
    pair, keypoint = np.nonzero(visible)  # (m,) each
    sides = [(source, pairs[pair, 0]), (target, pairs[pair, 1])]
    points = [to_array(side["keypoints"])[objects, keypoint] for side, objects in sides]
    diagonals = [_diagonals(side)[objects] for side, objects in sides]
    return GroundTruth(
        points=np.concatenate(points, -1),
        diagonals=np.stack(diagonals, -1),
        labels=labels[pair],
        pair=pair,
        source_point=pairs[pair, 0] * visible.shape[1] + keypoint,
    )


def read_predictions(sample: Mapping[str, Any]) -> list[Prediction]:
    """Read and check the predicted pairs.

    Args:
        sample: ``predicted_pairs``.

    Returns:
        The predictions.

    Raises:
        ValueError: if correspondences or scores have a wrong shape or range.
    """
    return [_read_prediction(pair) for pair in sample["predicted_pairs"]]


def read_objects(side: Mapping[str, Any]) -> tuple[Floats, Integers]:
    """Read the boxes and classes of all objects of an image.

    Args:
        side: ``boxes`` and ``labels``.

    Returns:
        ``(S, 4)`` and ``(S,)``.
    """
    return to_array(side["boxes"]).reshape(-1, 4), to_array(side["labels"], np.int64)


def _read_prediction(pair: Mapping[str, Any]) -> Prediction:
    correspondences, scores = to_array(pair["correspondences"]), to_array(pair["score"])
    if correspondences.ndim != 2 or correspondences.shape[1] != 4:
        raise ValueError(
            "Expected `correspondences` of shape (n, 4), x and y at the source and at the target, "
            f"but got {correspondences.shape}."
        )
    if not np.isfinite(correspondences).all():
        raise ValueError(
            "Expected finite `correspondences`, but some are NaN or infinite. "
            "Remove points without a match."
        )
    if scores.shape not in ((), correspondences.shape[:1]):
        raise ValueError(
            f"Expected `score` to be a number or of shape ({len(correspondences)},), one per row "
            f"of `correspondences`, but got {scores.shape}."
        )
    if not ((scores >= 0) & (scores <= 1)).all():
        raise ValueError(
            f"Expected each `score` from 0 to 1 but got {scores.min()} to {scores.max()}."
        )
    return Prediction(
        label=int(pair["label"]),
        boxes=np.stack([to_array(pair[name]) for name in ("source_box", "target_box")]),
        correspondences=correspondences,
        scores=np.broadcast_to(scores, correspondences.shape[:1]),
    )


def _diagonals(side: Mapping[str, Any]) -> Floats:
    boxes, _ = read_objects(side)
    lengths = np.linalg.norm(boxes[:, 2:] - boxes[:, :2], axis=-1)
    return np.maximum(lengths, np.finfo(np.float64).eps)  # boxes without extent
