"""The multi-object correspondence AP of Sec. 4.1 as a metric of mmengine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from mmdet.registry import METRICS
from mmengine.evaluator import BaseMetric
from numpy.typing import NDArray

from .correspondence_counts import Floats, count_points, count_predictions
from .image_pair_samples import (
    GroundTruth,
    Integers,
    Prediction,
    objects_of,
    read_ground_truth,
    read_predictions,
    to_array,
)
from .multi_object_ap import Interpolation, Recall, multi_object_ap
from .object_pair_ties import tie_object_pairs

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

    A data sample is an image pair, its ground truth as ``ObjectPairSet`` gives it:

    * ``source``, ``target``: all objects of the image, a dict of ``boxes`` ``(S, 4)`` as ``(x1, y1,
      x2, y2)``, ``labels`` ``(S,)``, ``keypoints`` ``(S, P, 2)`` and ``visible`` ``(S, P)``;
    * ``object_pairs``: ``(M, 2)``, the pairs of a source and a target object to score; all others
      are ignored (the paper's rule for orientations, or no key point in common);
    * ``predicted_pairs``: a list of dicts with ``source_box`` ``(4,)``, ``target_box`` ``(4,)``,
      ``label``, ``correspondences`` ``(n, 4)`` as ``(x^s, y^s, x^t, y^t)``, and ``score``, a number
      or ``(n,)``, from 0 to 1: in the paper the product of the scores of the two boxes.

    Everything is in pixels of the original images. What the paper leaves open:

    1. *Which diagonal*: that of the annotated box, so that a prediction cannot buy tolerance with a
       larger box; at each side its own, so that a true correspondence that scales an object keeps
       what is near near (``diagonal='own'``). ``'target'`` measures both sides by the target box,
       since the paper has one alpha.
    2. *Which pixels are predicted correspondences*: those that are handed in. Predictions that
       touch no ground-truth point are ignored, which is the paper's point, so it makes no
       difference off the object. Where they are sparse, points are missed: cells of ``s`` pixels
       touch every point only if alpha times the diagonal is at least ``0.71 s``. The centres of
       28 x 28 cells of a square box touch 28 % of its points at 0.75 %, all from 1.8 % on.
    3. *Several predictions near one point*: the best stands for it (``counting='points'``, see
       :func:`.count_points`), so that a point weighs the same however dense the predictions are.
       With the printed sums (``'predictions'``), where two points are closer than alpha each
       prediction is judged by both, and perfect ones have an AP below 1; and ``FN_i`` counts the
       predictions that are far from all points: the denser a method, the lower its recall, while a
       point that was missed costs nothing.
    4. *Recall*: ``TP / (TP + FN)``, where ``FN`` are the points that no prediction touches
       (``recall='printed'``). As in the printed formulas a wrong prediction is an FP and no FN: if
       all scores are equal and all points touched, the AP is the share of right points. In
       detection it is both: ``'all'`` is ``TP / (TP + FP + FN)``, a share of all points, and the AP
       is that share squared. ``'all'`` is the safer one for scores other than the paper's: with
       ``'printed'``, a method that knows its single right point has an AP of 1.
    5. *Which box is which object*: a predicted pair is tied to a pair of annotated objects of its
       class as detections are (:func:`.tie_object_pairs`), and judged by their points alone. Pairs
       tied to ignored ones, or to none, are ignored, because the points cannot judge them. With
       ``tie='points'`` there are no ties, only the proximity of points: each prediction of a class
       is judged by all points of the class that it touches. If a source point has partners in
       several target objects, only the one that is nearest to the prediction counts, else a right
       answer would be wrong for all others. Pairs and points that should be ignored are false
       positives then.
    6. *Classes*: the mean of the APs of the classes that have points (``average='class'``), as in
       detection; ``'pooled'`` ranks all correspondences in one list.
    7. *Interpolation*: the area under the monotone curve (``'area'``) or COCO's ``'101'`` points.
       Equal scores make one point of the curve, so that the order of the input means nothing.
    8. *Directions*: each image pair that is handed in is scored as it is, source to target.

    Each image pair is reduced to a row of counts for each score as it comes: memory does not grow
    with the number of predictions.

    Args:
        thresholds: Values of alpha, shares of the diagonal.
        counting: ``points`` or ``predictions``, see 3.
        recall: ``printed`` or ``all``, see 4.
        tie: ``boxes`` or ``points``, see 5.
        min_iou: The least IoU, on both sides, of a tie by boxes.
        diagonal: ``own`` or ``target``, see 1.
        average: ``class`` or ``pooled``, see 6.
        interpolation: ``area`` or ``101``, see 7.
        **kwargs: Arguments of :class:`mmengine.evaluator.BaseMetric`.

    Raises:
        ValueError: If an argument is none of its choices.
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
                "Expected `thresholds` to be shares of the diagonal between 0 and 1 (1 % is 0.01) "
                f"but got {thresholds}."
            )
        self.thresholds = np.array(thresholds, np.float64)
        self.count = count_points if counting == "points" else count_predictions
        self.tie, self.min_iou, self.diagonal = tie, min_iou, diagonal
        self.average = average
        self.curve: dict[str, Any] = dict(recall=recall, interpolation=interpolation)

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """Reduce each image pair to ``(r, 2 + 3K)`` float32: labels and counts.

        Args:
            data_batch: Not used.
            data_samples: The image pairs.
        """
        for sample in data_samples:
            judge = self._by_boxes if self.tie == "boxes" else self._by_points
            rows = [self._no_rows(), *judge(sample)]
            self.results.append(np.concatenate(rows).astype(np.float32))

    def compute_metrics(self, results: list[NDArray[np.float32]]) -> dict[str, float]:
        """Compute the APs.

        Args:
            results: What :meth:`process` made of each image pair.

        Returns:
            ``AP``, the mean, and ``AP_<percent>`` for each threshold; NaN without any point.
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

    def _by_boxes(self, sample: Mapping[str, Any]) -> Iterator[Floats]:
        truth, predictions = read_ground_truth(sample), read_predictions(sample)
        ties = self._tie(sample, predictions)
        for place, (source, target) in enumerate(to_array(sample["object_pairs"], int).tolist()):
            points = truth.where(truth.pair == place)
            tied = ties.get((source, target))
            if len(points.points):
                yield self._judge(points, predictions[tied : tied + 1] if tied is not None else [])

    def _by_points(self, sample: Mapping[str, Any]) -> Iterator[Floats]:
        truth, predictions = read_ground_truth(sample), read_predictions(sample)
        for label in np.unique(truth.labels):
            of_class = [prediction for prediction in predictions if prediction.label == label]
            yield self._judge(truth.where(truth.labels == label), of_class)

    def _tie(
        self, sample: Mapping[str, Any], predictions: list[Prediction]
    ) -> dict[tuple[int, int], int]:
        """Tie the predictions to the annotated object pairs, also to those that are ignored."""
        boxes = np.array([prediction.boxes for prediction in predictions]).reshape(-1, 2, 4)
        labels = np.array([prediction.label for prediction in predictions], np.int64)
        (sources, of_sources), (targets, of_targets) = (
            objects_of(sample[side]) for side in ("source", "target")
        )
        return tie_object_pairs(
            (boxes[:, 0], boxes[:, 1]),
            (sources, targets),
            (labels, of_sources, of_targets),
            np.array([prediction.scores.max(initial=0.0) for prediction in predictions]),
            min_iou=self.min_iou,
        )

    def _judge(self, truth: GroundTruth, predictions: list[Prediction]) -> Floats:
        """Count what the predictions are worth to points of one class, which may be all of it."""
        found = np.concatenate([np.zeros((0, 4)), *(p.correspondences for p in predictions)])
        scores = np.concatenate([np.zeros(0), *(p.scores for p in predictions)])
        lengths = truth.diagonals if self.diagonal == "own" else truth.diagonals[:, [1, 1]]
        gaps = found.reshape(-1, 1, 2, 2) - truth.points.reshape(-1, 2, 2)  # (n, m, 2 sides, xy)
        near, far = np.moveaxis(np.linalg.norm(gaps, axis=-1) / lengths, -1, 0)  # (n, m) each
        charged = _nearest_partners(far, truth.part)
        counts = self.count(near, far, scores, self.thresholds, charged)
        if not len(counts):  # nothing was predicted: the class is there all the same
            counts = np.zeros((1, counts.shape[1]))
        return np.insert(counts, 0, truth.labels[0], axis=1)


def _nearest_partners(far: Floats, part: Integers) -> NDArray[np.bool_]:
    """Of the points with one source point, let a prediction touch the nearest at the target.

    Args:
        far: ``(n, m)`` distances at the target.
        part: ``(m,)``, equal for points with one source point.

    Returns:
        ``(n, m)``; all true where each source point has one partner.
    """
    _, group = np.unique(part, return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    nearest = np.minimum.reduceat(far[:, order], starts, axis=1)  # (n, groups)
    return np.asarray(far == nearest[:, group])
