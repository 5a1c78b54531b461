"""Average precision of instance masks at fixed IoU thresholds, as reported on VOC12.

The detections of a class are ranked by score, each is a hit or a false positive by one of two rules
(:mod:`.mask_matching`), and the average precision is the area under the precision-recall curve,
made monotone from the right (VOC since 2010).

All masks are run-length encodings (RLE) of pycocotools. Unlabelled pixels ("void", 255 in VOC's
files) belong to no object, but count in the union of a detection, as in chainercv. Crowd regions
(``iscrowd``, absent in VOC12) follow COCO: they are not objects to find, and a detection that is
not a hit is ignored if its fraction on a crowd region of its class passes the threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from pycocotools import mask as mask_utils

from .arrays import Flags, Floats, Integers
from .mask_matching import check_matcher, exceeds_thresholds, match_detections

_HIT, _FALSE_POSITIVE, _IGNORED = 1, 0, -1

Rle = dict[str, Any]


class Detections(NamedTuple):
    """Detections of an image.

    Attributes:
        masks: D RLE of the image's size.
        labels: (D,) classes, from 0.
        scores: (D,) confidences.
    """

    masks: Sequence[Rle]
    labels: Integers
    scores: Floats


class Objects(NamedTuple):
    """Ground-truth objects of an image.

    Attributes:
        masks: G RLE of the image's size.
        labels: (G,) classes, from 0.
        crowd: (G,) True for crowd regions.
    """

    masks: Sequence[Rle]
    labels: Integers
    crowd: Flags


@dataclass(frozen=True)  # not a NamedTuple: mmengine's collection converts those to plain tuples
class ImageEvaluation:
    """Evaluated detections of one image, the input of the average precision.

    Attributes:
        labels: (D,) classes of the detections, by descending score.
        scores: (D,) scores of the detections.
        outcomes: (T, D) 1 for a hit, 0 for a false positive, -1 for an ignored detection.
        num_objects: (C,) number of objects per class, without crowd regions.
    """

    labels: Integers
    scores: Floats
    outcomes: npt.NDArray[np.int8]
    num_objects: Integers


def evaluate_image(
    detections: Detections,
    objects: Objects,
    *,
    num_classes: int,
    thresholds: Sequence[float],
    matcher: str,
) -> ImageEvaluation:
    """Evaluate the detections of one image.

    Args:
        detections: D detections in any order; equal scores keep their order.
        objects: the objects and crowd regions of the image.
        num_classes: C; labels lie in [0, C).
        thresholds: T IoU thresholds in (0, 1).
        matcher: "sds" or "bbtp", see :mod:`.mask_matching`.

    Returns:
        The evaluated detections.

    Raises:
        ValueError: if the matcher is unknown, or masks differ in size.
    """
    check_matcher(matcher)
    _check_sizes(detections.masks, objects.masks)
    order = np.argsort(-detections.scores, kind="stable")
    labels, scores = detections.labels[order], detections.scores[order]
    outcomes = np.zeros((len(thresholds), len(order)), dtype=np.int8)
    for label in np.unique(labels):
        columns = np.flatnonzero(labels == label)
        masks = [detections.masks[index] for index in order[columns]]
        ious = _overlaps(masks, objects, (objects.labels == label) & ~objects.crowd)
        crowd = _overlaps(masks, objects, (objects.labels == label) & objects.crowd)
        hits = match_detections(ious, thresholds=thresholds, matcher=matcher)  # (T, D)
        on_crowd = exceeds_thresholds(
            crowd.max(axis=1, initial=0.0), thresholds=thresholds, matcher=matcher
        )
        misses = np.where(on_crowd, _IGNORED, _FALSE_POSITIVE)
        outcomes[:, columns] = np.where(hits, _HIT, misses)
    num_objects = np.bincount(objects.labels[~objects.crowd], minlength=num_classes)
    return ImageEvaluation(labels, scores, outcomes, num_objects)


def average_precisions(
    images: Sequence[ImageEvaluation], *, num_classes: int, num_thresholds: int
) -> Floats:
    """Compute the average precision of each class at each threshold, over all images.

    Detections of equal score are ranked in the order of the images.

    Args:
        images: results of :func:`evaluate_image`.
        num_classes: C.
        num_thresholds: T.

    Returns:
        (T, C) average precisions in [0, 1]; NaN for a class without objects.
    """
    precisions = np.full((num_thresholds, num_classes), np.nan)
    if not images:
        return precisions
    labels = np.concatenate([image.labels for image in images])
    scores = np.concatenate([image.scores for image in images])
    outcomes = np.concatenate([image.outcomes for image in images], axis=1)
    num_objects = np.sum([image.num_objects for image in images], axis=0)
    for label in np.flatnonzero(num_objects):
        columns = np.flatnonzero(labels == label)
        ranked = columns[np.argsort(-scores[columns], kind="stable")]
        for row, outcome in zip(precisions, outcomes[:, ranked], strict=True):
            row[label] = _area(outcome, int(num_objects[label]))
    return precisions


def _area(outcomes: npt.NDArray[np.int8], num_objects: int) -> float:
    """Compute the area under the monotone precision-recall curve; recall steps at each hit."""
    hits = outcomes[outcomes != _IGNORED] == _HIT
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    monotone = np.maximum.accumulate(precision[::-1])[::-1]
    return float(monotone[hits].sum() / num_objects)


def _overlaps(masks: Sequence[Rle], objects: Objects, chosen: Flags) -> Floats:
    """Compute (D, G') IoU with chosen objects, or the fraction of each mask on chosen crowds."""
    targets = [objects.masks[index] for index in np.flatnonzero(chosen)]
    if not targets:
        return np.zeros((len(masks), 0))
    return np.asarray(mask_utils.iou(list(masks), targets, objects.crowd[chosen].tolist()))


def _check_sizes(predicted: Sequence[Rle], annotated: Sequence[Rle]) -> None:
    sizes = {tuple(mask["size"]) for mask in (*predicted, *annotated)}
    if len(sizes) > 1:
        raise ValueError(
            f"Expected the masks of an image to have one size, but got (height, width) {sizes}. "
            "Predict masks in the size of the original image, and evaluate with the json of the "
            "same data set."
        )
