"""Masks that a person drew or corrected in another tool: ``autolabel.py --corrected``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as coco_mask
from scipy.ndimage import binary_fill_holes

from mmdet_discobox.annotation_files.annotated_masks import sensible_mask
from mmdet_discobox.annotation_files.coco_records import Problem
from mmdet_discobox.annotation_files.coco_values import quote
from mmdet_discobox.annotation_files.true_masks import PERSON, find_mask_problems
from mmdet_discobox.labelling.labelled_boxes import has_mask, without_mask
from mmdet_discobox.utils.rle import to_rle
from mmdet_discobox.utils.types import Json

from .export_matching import ExportMatch, class_names, image_sizes, match_export

#: IoU above which masks that differ in their outermost pixels alone are the same: of tiny masks
#: these pixels are most of them
_SAME = 0.7
#: how tools trace the outline of a mask
_TRACINGS = (cv2.CHAIN_APPROX_NONE, cv2.CHAIN_APPROX_TC89_KCOS)


@dataclass(frozen=True)
class CorrectedMasks:
    """The result of :func:`merge_corrected`.

    Attributes:
        dataset: the labels with the corrected masks.
        changed: ids of the annotations with a corrected mask.
        renumbered: number of annotations whose id in the export is not that of their box.
        ignored: a line for each change that is not taken over.
        unusable: a line for each mask that is not taken over because no training could use it.
    """

    dataset: Json
    changed: frozenset[int | str]
    renumbered: int
    ignored: list[str]
    unusable: list[str]


def merge_corrected(dataset: Json, corrected: Json, *, name: str) -> CorrectedMasks:
    """Take over the masks that a person drew or corrected in another tool.

    Annotations are matched to boxes by :func:`match_export`. A mask that differs from that of the
    data set in its outermost pixels alone, with an IoU of at least 0.7, was encoded anew, not
    corrected, and changes nothing. Nor do the holes that polygons cannot have, and the corners that
    tools leave out when they trace polygons.

    Args:
        dataset: a COCO json; not changed.
        corrected: the COCO export of the tool; annotations without a mask change none.
        name: name of its file in errors.

    Returns:
        The labels, and what is not taken over: changed classes and boxes (but for boxes that are
        the tight ones of their masks, which tools compute), annotations that are new, missing or
        have lost their mask. Nor are masks that do not fit their box: tools shrink small objects
        when they trace polygons. Images that are not in the export were not opened.

    Raises:
        ValueError: if no annotation of the export is of these boxes, an image has another size
            there, or no mask fits its box.
    """
    match = match_export(dataset, corrected, name=name)
    pairs = match.annotations
    _check_matched(dataset, corrected, match, name)
    sizes = image_sizes(dataset)
    new = {
        ours["id"]: pairs[index]["segmentation"]
        for index, ours in enumerate(dataset["annotations"])
        if index in pairs and _is_corrected(ours, pairs[index], sizes[ours["image_id"]])
    }
    faults = {key: p for key, p in find_mask_problems(_merged(dataset, new)).items() if key in new}
    _check_fit(faults, match, name)
    changed = {key: mask for key, mask in new.items() if key not in faults}
    merged = _merged(dataset, changed)
    return CorrectedMasks(
        {**merged, "annotations": [_with_area(a, sizes, changed) for a in merged["annotations"]]},
        changed=frozenset(changed),
        renumbered=sum(dataset["annotations"][i]["id"] != a["id"] for i, a in pairs.items()),
        ignored=[*_changes(dataset, corrected, match), *_deletions(dataset, match)],
        unusable=_unusable(dataset, match, faults),
    )


def _check_matched(dataset: Json, corrected: Json, match: ExportMatch, name: str) -> None:
    """Check that a mask of the export is of these boxes, if it has any."""
    drawn = sum(map(has_mask, corrected["annotations"]))
    if not drawn or any(map(has_mask, match.annotations.values())):
        return
    files = [quote(each["images"][0]["file_name"]) for each in (corrected, dataset)]
    raise ValueError(
        f"Expected '{name}' to have masks of these boxes, but none of its {drawn} masks "
        + (
            "has a box near one in the image of its name (IoU of at least 0.5). "
            if match.images
            else f"is in an image of the same name: its first is {files[0]}, here {files[1]}. "
        )
        + "Export with file names, for the json that was imported into the tool."
    )


def _merged(dataset: Json, masks: dict[Any, Any]) -> Json:
    """Return the labels with the masks of a person, by the ids of their annotations."""
    return {**dataset, "annotations": [_merge(a, masks) for a in dataset["annotations"]]}


def _merge(annotation: Json, changed: dict[Any, Any]) -> Json:
    if annotation["id"] not in changed:
        return annotation
    mask = changed[annotation["id"]]
    return {**without_mask(annotation), "segmentation": mask, "mask_source": PERSON}


def _with_area(annotation: Json, sizes: dict[Any, Json], changed: dict[Any, Any]) -> Json:
    """Return an annotation with the pixels of its mask as area, if it is a changed one."""
    if annotation["id"] not in changed:
        return annotation
    mask = to_rle(annotation["segmentation"], **sizes[annotation["image_id"]])
    return {**annotation, "area": float(coco_mask.area(mask))}


def _check_fit(faults: dict[Any, Problem], match: ExportMatch, name: str) -> None:
    """Check that the file is not wrong as a whole: that one of its masks fits its box."""
    drawn = sum(map(has_mask, match.annotations.values()))
    if not drawn or len(faults) < drawn:
        return
    shown = "".join(f"\n- {problem}" for problem in list(faults.values())[:5])
    raise ValueError(
        f"Expected the masks of '{name}' to fit their boxes, but none of its {drawn} masks of "
        f"these boxes does. Export pixels of the whole image.{shown}"
    )


def _unusable(dataset: Json, match: ExportMatch, faults: dict[Any, Problem]) -> list[str]:
    """List the masks that do not fit, by their ids in the export and those of their boxes."""
    ours = dataset["annotations"]
    found = [(a["id"], faults.get(ours[index]["id"])) for index, a in match.annotations.items()]
    return [
        f"annotation {quote(value)} there, here {fault.where}: {fault.fault}"
        for value, fault in found
        if fault
    ]


def _is_corrected(ours: Json, theirs: Json, size: Json) -> bool:
    """Return whether a mask differs from that of its box by more than its outermost pixels."""
    own, mask = ours.get("segmentation"), theirs.get("segmentation")
    if not has_mask(theirs) or mask == own:
        return False
    if not has_mask(ours) or sensible_mask(mask, **size) is None:
        return True
    before, after = (coco_mask.decode(to_rle(each, **size)) for each in (own, mask))
    versions = _as_polygons(before) if isinstance(mask, list) else [before]
    return not any(_nearly_equal(version, after) for version in versions)


def _as_polygons(mask: np.ndarray) -> list[np.ndarray]:
    """Return what a mask becomes in tools that work with polygons.

    Polygons have no holes. Tools trace them through the centres of the outermost pixels, so that a
    row and a column are lost, and CVAT leaves out corners (it does so when it imports run lengths).
    """
    filled = binary_fill_holes(mask).astype(np.uint8)
    return [filled, *(_traced(filled, method) for method in _TRACINGS)]


def _traced(mask: np.ndarray, method: int) -> np.ndarray:
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, method)
    parts = [contour.ravel().tolist() for contour in contours if len(contour) > 2]
    height, width = mask.shape
    return coco_mask.decode(to_rle(parts, height=height, width=width)) if parts else mask


def _nearly_equal(before: np.ndarray, after: np.ndarray) -> bool:
    """Return whether two masks differ in the outermost pixels of the first alone."""
    common = np.count_nonzero(before & after)
    if common < _SAME * np.count_nonzero(before | after):
        return False
    kernel = np.ones((3, 3), np.uint8)
    border = cv2.dilate(before, kernel) > cv2.erode(before, kernel)
    return not ((before != after) & ~border).any()


def _changes(dataset: Json, corrected: Json, match: ExportMatch) -> list[str]:
    """List unknown images, new annotations, and those of another class or box."""
    names, new_names = class_names(dataset), class_names(corrected)
    sizes, images = image_sizes(corrected), match.images
    boxes = {
        id(theirs): dataset["annotations"][index] for index, theirs in match.annotations.items()
    }
    lines = [
        f"image {quote(image['file_name'])} is not here, or several are called so"
        for image in corrected["images"]
        if image["id"] not in images
    ]
    for a in corrected["annotations"]:
        if a["image_id"] not in images:
            continue
        where, old = f"annotation {quote(a['id'])}", boxes.get(id(a))
        if old is None:
            lines.append(f"{where} is new, or its box has moved")
            continue
        before, after = names[old["category_id"]], new_names[a["category_id"]]
        if before != after:
            lines.append(f"{where} is of {quote(after)} instead of {quote(before)}")
        if not (_near(a["bbox"], old["bbox"]) or _is_tight(a, sizes[a["image_id"]])):
            lines.append(f"{where} has the box {quote(a['bbox'])} instead of {quote(old['bbox'])}")
    return lines


def _deletions(dataset: Json, match: ExportMatch) -> list[str]:
    """List the boxes of the exported images that are missing, or without their mask."""
    images, pairs = set(match.images.values()), match.annotations
    lines = []
    for index, a in enumerate(dataset["annotations"]):
        if a["image_id"] in images and index not in pairs:
            lines.append(f"annotation {quote(a['id'])} is missing")
        elif has_mask(a) and index in pairs and not has_mask(pairs[index]):
            lines.append(f"annotation {quote(a['id'])} has lost its mask")
    return lines


def _near(box: Sequence[float], other: Sequence[float]) -> bool:
    """Return whether two boxes differ by a pixel at most, as by rounding."""
    corners = ((b[0], b[1], b[0] + b[2], b[1] + b[3]) for b in (box, other))
    return all(abs(one - two) <= 1 for one, two in zip(*corners, strict=True))


def _is_tight(annotation: Json, size: Json) -> bool:
    """Return whether the box of an annotation is that of its mask."""
    mask = sensible_mask(annotation.get("segmentation"), **size)
    if mask is None:
        return False
    mask = to_rle(mask, **size)
    return _near(annotation["bbox"], coco_mask.toBbox(mask).tolist())
