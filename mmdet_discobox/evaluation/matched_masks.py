"""How well masks fit their objects, of those objects that were found at all.

The average precision mixes three questions: whether objects are found, how they are ranked, and how
well their masks fit. The mean IoU of matched masks answers the last alone. It is one mean over the
objects, so it has to be read beside the share of objects that it is of.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools import mask as mask_utils

from mmdet_discobox.utils.types import Json

from .coco_masks import mask_code
from .mask_matching import Floats


@dataclass(frozen=True)
class MatchedMasks:
    """The overlap of objects with the predictions that they are matched with.

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
        """Share of the objects that are matched; NaN if there are no objects."""
        return float((self.overlaps > 0).mean()) if len(self.overlaps) else float("nan")


def matched_overlaps(ious: Floats, *, threshold: float = 0.5) -> Floats:
    """Match the predictions of one class in one image with its objects, as COCO does.

    In the order of their scores, each prediction takes the object that it overlaps most among
    those not yet taken, if their IoU is at least the threshold.

    Args:
        ious: (D, G) overlaps, in [0, 1], of D predictions by descending score with G objects.
        threshold: The least IoU of a match, in (0, 1].

    Returns:
        (G,) IoU of each object with its prediction, 0 for an object without one.

    Raises:
        ValueError: If the threshold is not in (0, 1].
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
        truth: COCO json with masks. Objects marked as ``iscrowd`` or ``ignore`` are left out.
        predictions: Results in COCO's format, as ``CocoMetric(outfile_prefix=...)`` writes them to
            ``*.segm.json``: ``image_id``, ``category_id``, ``score`` and ``segmentation``. Of
            equal scores the first comes first.
        threshold: The least IoU of a match, in (0, 1].

    Returns:
        The overlap of each object.

    Raises:
        ValueError: If the threshold is not in (0, 1].
    """
    sizes = {
        each["id"]: dict(height=each["height"], width=each["width"]) for each in truth["images"]
    }
    objects: dict[Hashable, list[Any]] = defaultdict(list)
    found: dict[Hashable, list[Any]] = defaultdict(list)
    for each in truth["annotations"]:
        if not each.get("iscrowd") and not each.get("ignore"):
            code = mask_code(each["segmentation"], **sizes[each["image_id"]])
            objects[each["image_id"], each["category_id"]].append(code)
    for each in sorted(predictions, key=lambda each: -each["score"]):
        found[each["image_id"], each["category_id"]].append(each["segmentation"])
    overlaps = [
        matched_overlaps(_ious(found[key], codes), threshold=threshold)
        for key, codes in objects.items()
    ]
    return MatchedMasks(np.concatenate(overlaps) if overlaps else np.zeros(0))


def _ious(found: Sequence[Any], objects: Sequence[Any]) -> Floats:
    if not found:
        return np.zeros((0, len(objects)))
    return np.asarray(mask_utils.iou(list(found), list(objects), [0] * len(objects)))
