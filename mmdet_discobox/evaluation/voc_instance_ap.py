"""Average precision of instance masks at fixed overlaps, as VOC12 is reported in.

The detections of a class are sorted by score, each is judged a hit or a false positive by one of
two rules (:mod:`.mask_matching`), and the average precision is the area under the curve of
precision over recall, made monotone from the right: the rule of VOC since 2010.

Masks are run-length codes of pycocotools throughout. Pixels without a label ("void", 255 in VOC's
files) are in no object: a detection on them pays for it in its union, as in chainercv. Crowd
regions (``iscrowd``), which VOC12 does not have, are nobody's to find: they do not count as
objects, and a detection that is no hit is left out, neither hit nor false positive, if the part of
it that lies on a crowd region of its class passes the threshold, as in COCO.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from pycocotools import mask as mask_utils

from .mask_matching import Flags, Floats, check_matcher, match, passes

_HIT, _FALSE_POSITIVE, _LEFT_OUT = 1, 0, -1

Rle = dict[str, Any]
Integers = npt.NDArray[np.int64]


class Detections(NamedTuple):
    """What was found in an image.

    Attributes:
        codes: D run-length codes of pycocotools, of the image's size.
        labels: (D,) classes, from 0.
        scores: (D,) the higher, the surer.
    """

    codes: Sequence[Rle]
    labels: Integers
    scores: Floats


class Objects(NamedTuple):
    """What is in an image.

    Attributes:
        codes: G run-length codes of pycocotools, of the image's size.
        labels: (G,) classes, from 0.
        crowd: (G,) whether it is a crowd region.
    """

    codes: Sequence[Rle]
    labels: Integers
    crowd: Flags


@dataclass(frozen=True)  # no NamedTuple: mmengine collects every tuple as a plain one
class Judged:
    """What the average precision needs to know of one image.

    Attributes:
        labels: (D,) classes of the detections, by descending score.
        scores: (D,) their scores.
        outcomes: (T, D) for each threshold 1 for a hit, 0 for a false positive, -1 for left out.
        num_objects: (C,) objects of each class, crowd regions not counted.
    """

    labels: Integers
    scores: Floats
    outcomes: npt.NDArray[np.int8]
    num_objects: Integers


def judge(
    detections: Detections,
    objects: Objects,
    *,
    num_classes: int,
    thresholds: Sequence[float],
    matcher: str,
) -> Judged:
    """Judge all detections of one image.

    Args:
        detections: D detections in any order; of equal scores the first comes first.
        objects: The objects and crowd regions of the image.
        num_classes: C; labels lie in [0, C).
        thresholds: T overlaps to ask for, in (0, 1).
        matcher: "sds" or "bbtp", see :mod:`.mask_matching`.

    Returns:
        The image's part in the average precision.

    Raises:
        ValueError: If there is no such matcher, or the masks are not all of one size.
    """
    check_matcher(matcher)
    _check_sizes(detections.codes, objects.codes)
    order = np.argsort(-detections.scores, kind="stable")
    labels, scores = detections.labels[order], detections.scores[order]
    outcomes = np.zeros((len(thresholds), len(order)), dtype=np.int8)
    for label in np.unique(labels):
        columns = np.flatnonzero(labels == label)
        found = [detections.codes[index] for index in order[columns]]
        single = _overlaps(found, objects, (objects.labels == label) & ~objects.crowd)
        crowd = _overlaps(found, objects, (objects.labels == label) & objects.crowd)
        hits = match(single, thresholds=thresholds, matcher=matcher)  # (T, D)
        on_crowd = passes(crowd.max(axis=1, initial=0.0), thresholds=thresholds, matcher=matcher)
        misses = np.where(on_crowd, _LEFT_OUT, _FALSE_POSITIVE)
        outcomes[:, columns] = np.where(hits, _HIT, misses)
    num_objects = np.bincount(objects.labels[~objects.crowd], minlength=num_classes)
    return Judged(labels, scores, outcomes, num_objects)


def average_precisions(
    images: Sequence[Judged], *, num_classes: int, num_thresholds: int
) -> Floats:
    """Average precision of each class at each threshold, over all images.

    Detections of equal score count in the order of the images.

    Args:
        images: What :func:`judge` returned.
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
    """Area under the monotone precision-recall curve: each hit is a step of 1 / objects."""
    hits = outcomes[outcomes != _LEFT_OUT] == _HIT
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    monotone = np.maximum.accumulate(precision[::-1])[::-1]
    return float(monotone[hits].sum() / num_objects)


def _overlaps(found: Sequence[Rle], objects: Objects, chosen: Flags) -> Floats:
    """(D, G') IoU with the chosen objects, or the part of each detection on chosen crowds."""
    codes = [objects.codes[index] for index in np.flatnonzero(chosen)]
    if not codes:
        return np.zeros((len(found), 0))
    return np.asarray(mask_utils.iou(list(found), codes, objects.crowd[chosen].tolist()))


def _check_sizes(found: Sequence[Rle], there: Sequence[Rle]) -> None:
    sizes = {tuple(code["size"]) for code in (*found, *there)}
    if len(sizes) > 1:
        raise ValueError(
            f"Expected the masks of an image to have one size, but got (height, width) {sizes}. "
            "Predict masks in the size of the original image, and check that the json is its own."
        )
