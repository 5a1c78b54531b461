"""Data sets in which a share of the objects has a true mask, and masks compared with the truth."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from pycocotools import mask as coco_mask

from mmdet_discobox.labelling.review.reviewed_masks import with_accepted_masks
from mmdet_discobox.utils.rle import to_rle
from mmdet_discobox.utils.types import Json


def choose(dataset: Json, share: int, seed: int) -> set[int]:
    """Choose ids of objects at random; smaller shares are part of larger ones."""
    ids = [a["id"] for a in dataset["annotations"] if not a.get("iscrowd")]
    order = np.random.default_rng(seed).permutation(len(ids))
    return {ids[index] for index in order[: round(len(ids) * share / 100)]}


def mark(dataset: Json, chosen: Collection[int]) -> Json:
    """Return the boxes, with the masks of the chosen objects marked as a person's."""
    annotations = [
        {**a, "mask_source": "person" if a["id"] in chosen else "machine"}
        for a in dataset["annotations"]
        if not a.get("iscrowd")
    ]
    return with_accepted_masks({**dataset, "annotations": annotations})


def only(dataset: Json, chosen: Collection[int]) -> Json:
    """Return the chosen objects, and their images."""
    annotations = [a for a in dataset["annotations"] if a["id"] in chosen]
    used = {a["image_id"] for a in annotations}
    images = [image for image in dataset["images"] if image["id"] in used]
    return {**dataset, "images": images, "annotations": annotations}


def ious(
    labels: Json, truth: Json, *, leaving_out: frozenset[int] | set[int] = frozenset()
) -> np.ndarray:
    """Compare the labels of a machine with true masks; a box without a label counts 0."""
    found = ious_by_id(labels, truth)
    return np.array([value for key, value in found.items() if key not in leaving_out])


def ious_by_id(labels: Json, truth: Json) -> dict[int, float]:
    """Return the IoU of each object that is no crowd, 0 without a label."""
    sizes = {i["id"]: dict(height=i["height"], width=i["width"]) for i in truth["images"]}
    masks = {a["id"]: a["segmentation"] for a in labels["annotations"] if a.get("segmentation")}
    found = {}
    for a in truth["annotations"]:
        if not a.get("iscrowd"):
            size = sizes[a["image_id"]]
            own = [to_rle(masks[a["id"]], **size)] if a["id"] in masks else []
            iou = coco_mask.iou(own, [to_rle(a["segmentation"], **size)], [0]) if own else [[0.0]]
            found[a["id"]] = float(iou[0][0])
    return found


def summary(values: np.ndarray) -> Json:
    """Return mean IoU and the share above 0.75, in percent."""
    return dict(iou=100 * values.mean(), good=100 * (values > 0.75).mean(), objects=len(values))


def deviation(values: Sequence[float]) -> float:
    """Return the standard deviation of a sample, 0 of a single value."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
