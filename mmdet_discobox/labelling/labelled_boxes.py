"""Add masks to the json of the boxes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from pycocotools import mask as coco_mask

from mmdet_discobox.annotation_files.true_masks import MACHINE, is_true_mask
from mmdet_discobox.utils.types import Json

from .mask_encoding import decode_rle, to_polygons


@dataclass(frozen=True)
class LabelledBoxes:
    """The result of a run.

    Attributes:
        dataset: the json of the boxes, with masks.
        made: number of masks that were made.
        failed: boxes without a mask: the id of each and the reason.
        unpredicted: number of masks that come from colours alone.
        unread: number of images that could not be read.
    """

    dataset: Json
    made: int
    failed: list[tuple[Any, str]]
    unpredicted: int
    unread: int


def has_own_mask(annotation: Json) -> bool:
    """Return whether a box is a crowd with a mask, which marks a region and is kept."""
    return bool(annotation.get("iscrowd")) and bool(annotation.get("segmentation"))


def has_mask(annotation: Json) -> bool:
    """Return whether an annotation has a segmentation, other than an empty list of polygons."""
    segmentation = annotation.get("segmentation")
    return bool(segmentation) if isinstance(segmentation, dict) else any(segmentation or [])


def is_accepted(annotation: Json) -> bool:
    """Return whether a person accepted or drew the mask, and said so: it is never overwritten.

    A mask without ``mask_source`` may be of any origin, and is labelled anew.
    """
    return "mask_source" in annotation and is_true_mask(annotation)


def without_mask(annotation: Json) -> Json:
    """Return the box of an annotation, with the area of the box."""
    removed = ("segmentation", "mask_quality", "mask_source", "area")
    fields = {key: value for key, value in annotation.items() if key not in removed}
    return {**fields, "area": float(annotation["bbox"][2] * annotation["bbox"][3])}


def is_asked(annotation: Json, names: Mapping[Any, str], classes: Collection[str] | None) -> bool:
    """Return whether a box is to be labelled: it keeps no mask of its own, and its class is chosen.

    Masks that a person accepted and masks of crowds are kept.

    Args:
        annotation: the box.
        names: names of the classes by their ids.
        classes: names of the chosen classes; None chooses all.
    """
    chosen = classes is None or names[annotation["category_id"]] in classes
    return chosen and not (has_own_mask(annotation) or is_accepted(annotation))


def is_unread(record: Json) -> bool:
    """Return whether the record is of an image that could not be read."""
    return bool(record.get("unread"))


def add_masks(
    dataset: Json,
    records: Mapping[str, Json],
    *,
    polygons: bool = False,
    classes: Collection[str] | None = None,
) -> LabelledBoxes:
    """Return the json of the boxes with masks.

    Every record and id stays, in its order, and so do all fields but those of the mask: each
    labelled annotation gets ``segmentation``, ``area`` of the mask in pixels, ``iscrowd`` 0,
    ``mask_quality`` in [0, 1], and ``mask_source`` ``'machine'``. The input's values do not belong
    to the new mask, and mmdet drops objects with ``area`` 0. Annotations without any mask get
    ``area`` 0 for this reason: mmdet would fail on them. Crowds that keep their mask get the area
    of the box if they have none.

    Args:
        dataset: the boxes; not changed.
        records: records of the images, see :meth:`LabelRun.label`.
        polygons: write polygons instead of run lengths. Polygons cannot describe holes.
        classes: names of the classes that were labelled; None if all were.
    """
    names = {category["id"]: category["name"] for category in dataset["categories"]}
    masks = {mask["id"]: mask for record in records.values() for mask in record["masks"]}
    reasons = {f["id"]: f["reason"] for record in records.values() for f in record["failed"]}
    missing = {
        a["id"]
        for a in dataset["annotations"]
        if a["id"] not in masks and is_asked(a, names, classes)
    }
    annotations = []
    for a in dataset["annotations"]:
        kept = without_mask(a) if a["id"] in missing else a  # no mask of an earlier run
        mask = masks.get(a["id"])
        fields = _box_fields(kept) if mask is None else _mask_fields(mask, polygons)
        annotations.append({**kept, **fields})
    failed = [
        (a["id"], reasons.get(a["id"], "its image was not labelled"))
        for a in dataset["annotations"]
        if a["id"] in missing
    ]
    unpredicted = sum(not mask["predicted"] for mask in masks.values())
    unread = sum(map(is_unread, records.values()))
    return LabelledBoxes(
        {**dataset, "annotations": annotations}, len(masks), failed, unpredicted, unread
    )


def _mask_fields(mask: Json, polygons: bool) -> Json:
    rle = mask["segmentation"]
    return dict(
        segmentation=to_polygons(decode_rle(rle)) if polygons else rle,
        area=float(coco_mask.area(rle)),
        iscrowd=0,
        mask_quality=mask["quality"],
        mask_source=MACHINE,
    )


def _box_fields(annotation: Json) -> Json:
    """Return what stock packages require of an annotation without a new mask."""
    box_area = float(annotation["bbox"][2] * annotation["bbox"][3])
    defaults = dict(area=box_area, iscrowd=0)
    fields = {key: value for key, value in defaults.items() if annotation.get(key) is None}
    return fields if has_mask(annotation) else {**fields, "area": 0.0}
