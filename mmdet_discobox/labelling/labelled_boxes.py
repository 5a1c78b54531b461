"""Add masks to the json of the boxes, and select the accepted ones."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from pycocotools import mask as coco_mask

from mmdet_discobox.datasets.coco_values import quote
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


def is_asked(annotation: Json, names: Mapping[Any, str], classes: Collection[str] | None) -> bool:
    """Return whether a box is to be labelled: it keeps no mask of its own, and its class is chosen.

    Args:
        annotation: the box.
        names: names of the classes by their ids.
        classes: names of the chosen classes; None chooses all.
    """
    chosen = classes is None or names[annotation["category_id"]] in classes
    return chosen and not has_own_mask(annotation)


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
    labelled annotation gets ``segmentation``, ``area`` of the mask in pixels, ``iscrowd`` 0, and
    ``mask_quality`` in [0, 1]. The input's values do not belong to the new mask, and mmdet drops
    objects with ``area`` 0. Annotations without any mask get ``area`` 0 for this reason: mmdet
    would fail on them. Crowds that keep their mask get the area of the box if they have none.

    Args:
        dataset: the boxes; not changed.
        records: records of the images, see :meth:`LabelRun.label`.
        polygons: write polygons instead of run lengths. Polygons cannot describe holes.
        classes: names of the classes that were labelled; None if all were.
    """
    names = {category["id"]: category["name"] for category in dataset["categories"]}
    masks = {mask["id"]: mask for record in records.values() for mask in record["masks"]}
    reasons = {f["id"]: f["reason"] for record in records.values() for f in record["failed"]}
    annotations = [
        {**a, **(_mask_fields(masks[a["id"]], polygons) if a["id"] in masks else _box_fields(a))}
        for a in dataset["annotations"]
    ]
    failed = [
        (a["id"], reasons.get(a["id"], "its image was not labelled"))
        for a in dataset["annotations"]
        if a["id"] not in masks and is_asked(a, names, classes)
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
    )


def _box_fields(annotation: Json) -> Json:
    """Return what stock packages require of an annotation without a new mask."""
    box_area = float(annotation["bbox"][2] * annotation["bbox"][3])
    defaults = dict(area=box_area, iscrowd=0)
    fields = {key: value for key, value in defaults.items() if annotation.get(key) is None}
    return fields if has_mask(annotation) else {**fields, "area": 0.0}


def keep_accepted(dataset: Json, path: str | Path) -> Json:
    """Keep the annotations that were accepted on the page of ``--report``.

    The annotations that were not on the page stay, too: masks without room on the page, whose
    qualities are higher than all on it, and crowds that kept their own mask.

    Args:
        dataset: a COCO json; not changed.
        path: the file that the page saved, see :func:`read_accepted`.

    Raises:
        FileNotFoundError: if the file is missing.
        ValueError: if the file has no such list, or an id that is not in the data set.
    """
    wanted = [*chain(*read_accepted(path))]
    known = {annotation["id"] for annotation in dataset["annotations"]}
    if unknown := [value for value in wanted if value not in known]:
        raise ValueError(
            f"Expected '{path}' to be of these boxes, but {len(unknown)} of its {len(wanted)} ids "
            f"are not among theirs, first {quote(unknown[0])}."
        )
    chosen = set(wanted)
    annotations = [a for a in dataset["annotations"] if a["id"] in chosen or _never_rated(a)]
    return {**dataset, "annotations": annotations}


def _never_rated(annotation: Json) -> bool:
    """Return whether an annotation kept its own mask, so that no page shows it."""
    return has_own_mask(annotation) and "mask_quality" not in annotation


def read_accepted(path: str | Path) -> tuple[list[int | str], list[int | str]]:
    """Read the file that the page saved: a json with lists of ids, or the list ``accepted`` alone.

    Returns:
        ``accepted``, and ``left_out``, the ids without room on the page.

    Raises:
        FileNotFoundError: if the file is missing.
        ValueError: if the file has no such lists.
    """
    try:
        content = json.loads(Path(path).read_bytes())
    except (FileNotFoundError, IsADirectoryError) as error:
        raise FileNotFoundError(
            f"Expected the accepted ids at '{path}', but there is no such file."
        ) from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"Expected '{path}' to be a json, but: {error}.") from error
    if not isinstance(content, dict):
        content = dict(accepted=content)
    return _ids(content, "accepted", path), _ids({"left_out": [], **content}, "left_out", path)


def _ids(content: Json, name: str, path: str | Path) -> list[int | str]:
    ids = content.get(name)
    if not isinstance(ids, list) or not all(type(value) in (int, str) for value in ids):
        raise ValueError(
            f"Expected '{path}' to have a list `{name}` of ids, as the page of --report gives it, "
            f"but got {quote(ids)}."
        )
    return ids
