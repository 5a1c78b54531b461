"""The multi-object correspondence AP of Sec. 4.1 as a registered metric."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from mmdet.registry import METRICS
from mmengine.evaluator import BaseMetric
from numpy.typing import NDArray

from .arrays import Flags, Floats, Integers, to_array
from .correspondence_counts import count_points, count_predictions
from .image_pair_samples import (
    GroundTruth,
    Prediction,
    read_ground_truth,
    read_objects,
    read_predictions,
)
from .multi_object_ap import Interpolation, Recall, multi_object_ap
from .object_pair_matching import match_object_pairs

_CHOICES = {
    "counting": ("points", "predictions"),
    "recall": ("printed", "all"),
    "tie": ("boxes", "points"),
    "diagonal": ("own", "target"),
    "average": ("class", "pooled"),
    "interpolation": ("area", "101"),
}


@METRICS.register_module()
class MultiObjectCorrespondenceMetric(BaseMetric):
    """AP@{0.75, 1, 1.5, 2, 3 %} of the box diagonal and their mean, from 0 to 1.

    A data sample is an image pair, its ground truth in the format of ``ObjectPairSet``:

    * ``source``, ``target``: all objects of the image, a dict of ``boxes`` ``(S, 4)`` as ``(x1, y1,
      x2, y2)``, ``labels`` ``(S,)``, ``keypoints`` ``(S, P, 2)`` and ``visible`` ``(S, P)``;
    * ``object_pairs``: ``(M, 2)``, the pairs of a source and a target object to score; all others
      are ignored (by the paper's rule for orientations, or because they share no key point);
    * ``predicted_pairs``: a list of dicts with ``source_box`` ``(4,)``, ``target_box`` ``(4,)``,
      ``label``, ``correspondences`` ``(n, 4)`` as ``(x^s, y^s, x^t, y^t)``, and ``score``, a number
      or ``(n,)``, from 0 to 1: in the paper the product of the scores of the two boxes.

    All coordinates are pixels of the original images. The paper leaves open:

    1. *Diagonal*: that of the annotated box, so a larger predicted box does not increase the
       tolerance. By default (``diagonal='own'``) each side uses its own diagonal, so the tolerance
       scales with the object. ``'target'`` uses the target box for both sides, because the paper
       has a single alpha.
    2. *Pixels with predictions*: all given correspondences. Predictions that touch no ground-truth
       point are ignored, so predictions off the object have no effect. Sparse predictions miss
       points: cells of ``s`` pixels touch every point only if alpha times the diagonal is at least
       ``0.71 s``. The centres of 28 x 28 cells of a square box touch 28 % of its points at 0.75 %,
       and all from 1.8 % on.
    3. *Several predictions near a point*: only the best is counted (``counting='points'``, see
       :func:`.count_points`), so the weight of a point does not depend on the density of
       predictions. With the printed sums (``'predictions'``), a prediction near two points is
       compared with both, so perfect predictions may have an AP below 1; and ``FN_i`` counts
       predictions far from all points, so dense predictions lower the recall, while a missed point
       has no effect.
    4. *Recall*: ``TP / (TP + FN)``, where ``FN`` are the points that no prediction touches
       (``recall='printed'``). By the printed formulas a wrong prediction is an FP, but not an FN:
       if all scores are equal and all points are touched, the AP is the fraction of correct points.
       With ``'all'``, as in detection, recall is ``TP / (TP + FP + FN)`` and this AP is the square
       of that fraction. Prefer ``'all'`` for scores other than the paper's: with ``'printed'``, a
       method with a single correct point of highest score has an AP of 1.
    5. *Matching of object pairs*: with ``tie='boxes'`` predicted pairs are matched with annotated
       pairs of their class by box overlap (:func:`.match_object_pairs`) and compared only with
       their points. Predicted pairs matched with ignored pairs, or unmatched, are ignored. With
       ``tie='points'`` each prediction is compared with all points of its class that it touches. If
       a source point has partners in several target objects, only the partner nearest to the
       prediction is used, otherwise a correct match would be wrong for all other partners. Pairs
       and points to be ignored are then false positives.
    6. *Classes*: the mean AP over classes with points (``average='class'``), as in detection;
       ``'pooled'`` ranks the correspondences of all classes together.
    7. *Interpolation*: the area under the monotone curve (``'area'``) or COCO's ``'101'`` points.
       Equal scores form one point of the curve, so the order of the input has no effect.
    8. *Directions*: each given image pair is scored from source to target.

    Each image pair is reduced to counts per score when it is processed, so memory does not grow
    with the number of predictions.

    Args:
        thresholds: values of alpha, fractions of the diagonal.
        counting: ``points`` or ``predictions``, see 3.
        recall: ``printed`` or ``all``, see 4.
        tie: ``boxes`` or ``points``, see 5.
        min_iou: smallest IoU, on both sides, of matched boxes.
        diagonal: ``own`` or ``target``, see 1.
        average: ``class`` or ``pooled``, see 6.
        interpolation: ``area`` or ``101``, see 7.
        **kwargs: arguments of :class:`mmengine.evaluator.BaseMetric`.

    Raises:
        ValueError: if an argument is not one of its choices.
    """

    default_prefix = "multi_object"

    def __init__(
        self,
        *,
        thresholds: Sequence[float] = (0.0075, 0.01, 0.015, 0.02, 0.03),
        counting: Literal["points", "predictions"] = "points",
        recall: Recall = "printed",
        tie: Literal["boxes", "points"] = "boxes",
        min_iou: float = 0.5,
        diagonal: Literal["own", "target"] = "own",
        average: Literal["class", "pooled"] = "class",
        interpolation: Interpolation = "area",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        chosen = (counting, recall, tie, diagonal, average, interpolation)
        for (name, choices), value in zip(_CHOICES.items(), chosen, strict=True):
            if value not in choices:
                raise ValueError(f"Expected `{name}` to be one of {choices} but got {value!r}.")
        if not len(thresholds) or not all(0 < alpha < 1 for alpha in thresholds):
            raise ValueError(
                "Expected `thresholds` to be fractions of the diagonal in (0, 1) (1 % is 0.01) "
                f"but got {thresholds}."
            )
        self.thresholds = np.array(thresholds, np.float64)
        self.count = count_points if counting == "points" else count_predictions
        self.tie, self.min_iou, self.diagonal = tie, min_iou, diagonal
        self.average = average
        self.curve: dict[str, Any] = dict(recall=recall, interpolation=interpolation)

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """Reduce each image pair to labels and counts, ``(r, 2 + 3K)`` float32.

        Args:
            data_batch: not used.
            data_samples: the image pairs.
        """
        for sample in data_samples:
            count = self._count_by_boxes if self.tie == "boxes" else self._count_by_points
            rows = [self._no_rows(), *count(sample)]
            self.results.append(np.concatenate(rows).astype(np.float32))

    def compute_metrics(self, results: list[NDArray[np.float32]]) -> dict[str, float]:
        """Compute the APs.

        Args:
            results: labels and counts of each image pair.

        Returns:
            ``AP``, the mean, and ``AP_<percent>`` for each threshold; NaN without points.
        """
        table = np.concatenate([self._no_rows(), *results])
        labels, counts = table[:, 0], table[:, 1:]
        if self.average == "pooled":
            labels = np.zeros_like(labels)
        groups = [counts[labels == label] for label in np.unique(labels)] or [counts]
        aps = [multi_object_ap(group, **self.curve) for group in groups]
        means = np.mean(aps, axis=0)  # (K,)
        names = [f"AP_{100 * alpha:g}" for alpha in self.thresholds]
        return {"AP": float(means.mean()), **dict(zip(names, means.tolist(), strict=True))}

    def _no_rows(self) -> Floats:
        return np.zeros((0, 2 + 3 * len(self.thresholds)))

    def _count_by_boxes(self, sample: Mapping[str, Any]) -> Iterator[Floats]:
        """Compare each annotated pair with the predicted pair matched by boxes."""
        truth, predictions = read_ground_truth(sample), read_predictions(sample)
        matches = self._match_pairs(sample, predictions)
        for index, (source, target) in enumerate(to_array(sample["object_pairs"], int).tolist()):
            points = truth.select(truth.pair == index)
            match = matches.get((source, target))
            if len(points.points):
                yield self._counts(points, [] if match is None else [predictions[match]])

    def _count_by_points(self, sample: Mapping[str, Any]) -> Iterator[Floats]:
        """Compare all points of each class with all predictions of the class."""
        truth, predictions = read_ground_truth(sample), read_predictions(sample)
        for label in np.unique(truth.labels):
            of_class = [prediction for prediction in predictions if prediction.label == label]
            yield self._counts(truth.select(truth.labels == label), of_class)

    def _match_pairs(
        self, sample: Mapping[str, Any], predictions: list[Prediction]
    ) -> dict[tuple[int, int], int]:
        """Match the predictions with all annotated object pairs, including ignored ones."""
        boxes = np.array([prediction.boxes for prediction in predictions]).reshape(-1, 2, 4)
        labels = np.array([prediction.label for prediction in predictions], np.int64)
        (sources, of_sources), (targets, of_targets) = (
            read_objects(sample[side]) for side in ("source", "target")
        )
        return match_object_pairs(
            (boxes[:, 0], boxes[:, 1]),
            (sources, targets),
            (labels, of_sources, of_targets),
            np.array([prediction.scores.max(initial=0.0) for prediction in predictions]),
            min_iou=self.min_iou,
        )

    def _counts(self, truth: GroundTruth, predictions: list[Prediction]) -> Floats:
        """Compute the rows of counts for points and predictions of one class."""
        predicted = np.concatenate([np.zeros((0, 4)), *(p.correspondences for p in predictions)])
        scores = np.concatenate([np.zeros(0), *(p.scores for p in predictions)])
        lengths = truth.diagonals if self.diagonal == "own" else truth.diagonals[:, [1, 1]]
        offsets = predicted.reshape(-1, 1, 2, 2) - truth.points.reshape(-1, 2, 2)
        distances = np.linalg.norm(offsets, axis=-1) / lengths  # (n, m, 2 sides)
        source, target = np.moveaxis(distances, -1, 0)  # (n, m) each
        allowed = _nearest_partners(target, truth.source_point)
        counts = self.count(source, target, scores, self.thresholds, allowed)
        if not len(counts):  # keep the class in the mean without any count
            counts = np.zeros((1, counts.shape[1]))
        return np.insert(counts, 0, truth.labels[0], axis=1)


def _nearest_partners(distances: Floats, source_point: Integers) -> Flags:
    """Mark the nearest target point among the points that share a source point.

    Args:
        distances: ``(n, m)`` distances of predictions to points at the target.
        source_point: ``(m,)`` id of the source point of each point.

    Returns:
        ``(n, m)``; all True if each source point has one partner.
    """
    _, group = np.unique(source_point, return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    nearest = np.minimum.reduceat(distances[:, order], starts, axis=1)  # (n, groups)
    return np.asarray(distances == nearest[:, group])
