"""Mean IoU of predicted masks that match an object.

Average precision depends on detection, ranking and mask quality together. The mean IoU of matched
masks measures only mask quality. It is a mean over matched objects, so compare it together with the
fraction of objects that are matched.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools import mask as mask_utils

from mmdet_discobox.annotation_files.coco_values import is_set
from mmdet_discobox.utils.rle import to_rle
from mmdet_discobox.utils.types import Json

from .arrays import Floats


@dataclass(frozen=True)
class MatchedMasks:
    """IoU of objects with their matched predictions.

    Attributes:
        overlaps: (G,) IoU of each object with its prediction, 0 for an object without one.
    """

    overlaps: Floats

    @property
    def mean_iou(self) -> float:
        """Mean IoU of the matched objects; NaN if there are none."""
        matched = self.overlaps[self.overlaps > 0]
        return float(matched.mean()) if len(matched) else float("nan")

    @property
    def share(self) -> float:
        """Fraction of the objects that are matched; NaN if there are no objects."""
        return float((self.overlaps > 0).mean()) if len(self.overlaps) else float("nan")


def matched_overlaps(ious: Floats, *, threshold: float = 0.5) -> Floats:
    """Match the predictions of one class in one image with its objects by COCO's rule.

    In descending order of score, each prediction is matched with the unmatched object of largest
    IoU, if the IoU is at least the threshold.

    Args:
        ious: (D, G) IoU of D predictions, by descending score, with G objects.
        threshold: smallest IoU of a match, in (0, 1].

    Returns:
        (G,) IoU of each object with its prediction, 0 for an object without one.

    Raises:
        ValueError: if the threshold is not in (0, 1].
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"Expected `threshold` to be in (0, 1] but got {threshold}.")
    matched = np.zeros(ious.shape[1])
    for overlaps in ious if ious.size else ():
        free = np.where(matched > 0, -1.0, overlaps)  # (G,)
        best = free.argmax()
        if free[best] >= threshold:
            matched[best] = free[best]
    return matched


def match_masks(
    truth: Json, predictions: Sequence[Json], *, threshold: float = 0.5
) -> MatchedMasks:
    """Match predicted masks with the objects of a COCO json, by image and class.

    Args:
        truth: COCO json with masks. Objects marked as ``iscrowd`` or ``ignore`` are excluded.
        predictions: results in COCO's format, as ``CocoMetric(outfile_prefix=...)`` writes them to
            ``*.segm.json``: ``image_id``, ``category_id``, ``score`` and ``segmentation``. Equal
            scores keep their order.
        threshold: smallest IoU of a match, in (0, 1].

    Returns:
        The IoU of each object.

    Raises:
        ValueError: if the threshold is not in (0, 1].
    """
    sizes = {
        each["id"]: dict(height=each["height"], width=each["width"]) for each in truth["images"]
    }
    objects: dict[Hashable, list[Any]] = defaultdict(list)
    predicted: dict[Hashable, list[Any]] = defaultdict(list)
    for each in truth["annotations"]:
        if not is_set(each, "iscrowd", "ignore"):
            mask = to_rle(each["segmentation"], **sizes[each["image_id"]])
            objects[each["image_id"], each["category_id"]].append(mask)
    for each in sorted(predictions, key=lambda each: -each["score"]):
        predicted[each["image_id"], each["category_id"]].append(each["segmentation"])
    overlaps = [
        matched_overlaps(_ious(predicted[key], masks), threshold=threshold)
        for key, masks in objects.items()
    ]
    return MatchedMasks(np.concatenate(overlaps) if overlaps else np.zeros(0))


def _ious(predicted: Sequence[Any], objects: Sequence[Any]) -> Floats:
    if not predicted:
        return np.zeros((0, len(objects)))
    return np.asarray(mask_utils.iou(list(predicted), list(objects), [0] * len(objects)))
