"""Compare masks and their predicted qualities with true masks: ``autolabel.py --truth``."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pycocotools import mask as coco_mask
from scipy.stats import spearmanr

from mmdet_discobox.labelling.labelled_boxes import has_mask, is_asked
from mmdet_discobox.utils.rle import to_rle
from mmdet_discobox.utils.types import Json

#: IoU below which the boxes of two annotations are those of different objects
_LEAST = 0.5


@dataclass(frozen=True)
class TruthReport:
    """The comparison of masks with true masks.

    Attributes:
        ids: ids of the boxes with a mask in both files.
        ious: ``(G,)`` IoU of mask and true mask.
        box_ious: ``(G,)`` IoU of filled box and true mask.
        qualities: ``(G,)`` predicted IoU.
        left_out: number of further masks, which have no true one, or that of a crowd.
    """

    ids: list[int | str]
    ious: np.ndarray
    box_ious: np.ndarray
    qualities: np.ndarray
    left_out: int

    @property
    def rank_correlation(self) -> float:
        """Spearman correlation of quality and IoU, NaN if undefined."""
        if len(self.ids) < 2 or not np.ptp(self.ious) or not np.ptp(self.qualities):
            return float("nan")
        return float(spearmanr(self.qualities, self.ious).statistic)

    def __str__(self) -> str:
        if not self.ids:
            return "No box that has a true mask got one: there is nothing to compare."
        others = f"; {self.left_out} masks without a true one are left out" * bool(self.left_out)
        return (
            f"{len(self.ids)} boxes: mean IoU {self.ious.mean():.4f} (filled boxes "
            f"{self.box_ious.mean():.4f}), mean quality {self.qualities.mean():.4f}, rank "
            f"correlation of quality and IoU {self.rank_correlation:.3f}{others}"
        )


def check_truth(boxes: Json, truth: Json, classes: Collection[str] | None = None) -> None:
    """Check, before boxes are labelled, that their masks can be compared with the true ones.

    Args:
        boxes: the boxes.
        truth: the same boxes with true masks.
        classes: names of the classes to label; None labels all.

    Raises:
        ValueError: if no box to label has a true mask, or equal ids are those of other objects or
            of images of another size.
    """
    asked = _asked(boxes, classes)
    pairs = _pairs(asked, truth)
    if not pairs:
        raise ValueError(
            "Expected the true masks to be of the same boxes, but no id of theirs is among those "
            f"of the {len(asked)} boxes to label. Masks of a person, crowds with a mask, and "
            "classes other than --classes are not labelled, and not compared."
        )
    _check_same_objects(boxes, truth, pairs)
    _check_same_sizes(boxes, truth, pairs)


def compare_with_truth(
    labelled: Json, truth: Json, classes: Collection[str] | None = None
) -> TruthReport:
    """Compare the masks of two COCO jsons by the ids of their annotations; crowds are left out.

    So are masks that a person accepted, and those of classes that were not labelled, because the
    labeller did not make them in this run.

    Args:
        labelled: result of ``add_masks``.
        truth: the same boxes with true masks, see :func:`check_truth`.
        classes: names of the classes that were labelled; None if all were.
    """
    sizes = {image["id"]: (image["height"], image["width"]) for image in truth["images"]}
    made = [a for a in _asked(labelled, classes) if has_mask(a)]
    pairs = _pairs(made, truth)
    ious, box_ious = [], []
    for ours, theirs in pairs:
        height, width = sizes[theirs["image_id"]]
        expected = to_rle(theirs["segmentation"], height=height, width=width)
        box = _box_rle(ours["bbox"], (height, width))
        mask = to_rle(ours["segmentation"], height=height, width=width)
        ious.append(coco_mask.iou([mask], [expected], [0])[0, 0])
        box_ious.append(coco_mask.iou([box], [expected], [0])[0, 0])
    return TruthReport(
        ids=[ours["id"] for ours, _ in pairs],
        ious=np.array(ious),
        box_ious=np.array(box_ious),
        qualities=np.array([ours["mask_quality"] for ours, _ in pairs]),
        left_out=len(made) - len(pairs),
    )


def _pairs(annotations: Sequence[Json], truth: Json) -> list[tuple[Json, Json]]:
    """Return the annotations that have a true mask, with those of the truth."""
    true = {
        a["id"]: a for a in truth["annotations"] if a.get("segmentation") and not a.get("iscrowd")
    }
    return [(ours, true[ours["id"]]) for ours in annotations if ours["id"] in true]


def _asked(dataset: Json, classes: Collection[str] | None) -> list[Json]:
    """Return the annotations that a run labels."""
    names = {category["id"]: category["name"] for category in dataset["categories"]}
    return [a for a in dataset["annotations"] if is_asked(a, names, classes)]


def _check_same_objects(labelled: Json, truth: Json, pairs: Sequence[tuple[Json, Json]]) -> None:
    """Check that equal ids are those of the same image and of boxes that overlap."""
    ours, theirs = (
        {image["id"]: Path(image["file_name"]).name for image in each["images"]}
        for each in (labelled, truth)
    )
    others = [
        one["id"]
        for one, other in pairs
        if ours[one["image_id"]] != theirs[other["image_id"]]
        or coco_mask.iou(*(np.array([each["bbox"]], float) for each in (one, other)), [0]) < _LEAST
    ]
    if others:
        raise ValueError(
            f"Expected the true masks to have the ids of the labelled boxes, but {len(others)} of "
            f"{len(pairs)} ids are those of other boxes there, first {others[0]!r}. Boxes of VOC "
            "and YOLO folders are numbered anew: compare with a json made from the same folder."
        )


def _check_same_sizes(labelled: Json, truth: Json, pairs: Sequence[tuple[Json, Json]]) -> None:
    """Check that the images have one size, without which masks cannot be compared."""
    images, true_images = ({i["id"]: i for i in each["images"]} for each in (labelled, truth))
    for one, other in pairs:
        image, true_image = images[one["image_id"]], true_images[other["image_id"]]
        ours, theirs = ((each["width"], each["height"]) for each in (image, true_image))
        if ours != theirs:
            raise ValueError(
                f"Expected the true masks to be of images of the labelled size, but "
                f"'{image['file_name']}' is {ours[0]} x {ours[1]} in the labelled json and "
                f"{theirs[0]} x {theirs[1]} in the true one. Correct `width` and `height` of the "
                "wrong one, or compare with masks of the same images."
            )


def _box_rle(box: list[float], size: tuple[int, int]) -> Json:
    """Encode a filled box, with the pixels whose centres are inside."""
    x, y, width, height = box
    first = np.ceil(np.array([y, x]) - 0.5).clip(0).astype(int)
    end = np.ceil(np.array([y + height, x + width]) - 0.5).clip(0).astype(int)
    mask = np.zeros(size, np.uint8, order="F")
    mask[first[0] : end[0], first[1] : end[1]] = 1
    return dict(coco_mask.encode(mask))
