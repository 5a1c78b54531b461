"""Masks that a person drew or corrected in another tool: ``autolabel.py --corrected``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import PureWindowsPath
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as coco_mask
from scipy.optimize import linear_sum_assignment

from mmdet_discobox.annotation_files.annotated_masks import sensible_mask
from mmdet_discobox.annotation_files.coco_values import quote
from mmdet_discobox.annotation_files.true_masks import PERSON, find_mask_problems
from mmdet_discobox.utils.rle import to_rle
from mmdet_discobox.utils.types import Json

from .labelled_boxes import has_mask, without_mask

#: IoU of boxes from which two annotations may be of one object
_LEAST = 0.5
#: IoU above which masks that differ in their outermost pixels alone are the same: of tiny masks
#: these pixels are most of them
_SAME = 0.7
#: what an equal id and an equal class are worth beside the IoU of the boxes
_EQUAL = 0.1


@dataclass(frozen=True)
class CorrectedMasks:
    """The result of :func:`merge_corrected`.

    Attributes:
        dataset: the labels with the corrected masks.
        changed: ids of the annotations with a corrected mask.
        renumbered: number of annotations whose id in the export is not that of their box.
        ignored: a line for each change that is not taken over.
    """

    dataset: Json
    changed: frozenset[int | str]
    renumbered: int
    ignored: list[str]


def merge_corrected(dataset: Json, corrected: Json, *, name: str) -> CorrectedMasks:
    """Take over the masks that a person drew or corrected in another tool.

    Images are found by the ends of their file names. Within an image, an annotation belongs to the
    box that it overlaps most, one to one and with an IoU of at least 0.5; equal ids and classes
    decide between similar boxes. (Many tools number annotations anew.) A mask that differs from
    that of the data set in its outermost pixels alone, with an IoU of at least 0.7, was encoded
    anew, not corrected, and changes nothing.

    Args:
        dataset: a COCO json; not changed.
        corrected: the COCO export of the tool; annotations without a mask change none.
        name: name of its file in errors.

    Returns:
        The labels, and what is not taken over: changed classes and boxes (but for boxes that are
        the tight ones of their masks, which tools compute), annotations that are new, missing or
        have lost their mask. Images that are not in the export were not opened.

    Raises:
        ValueError: if no annotation of the export is of these boxes, an image has another size
            there, or a mask does not fit its box.
    """
    _check_sizes(dataset, corrected, name)
    pairs = _match(dataset, corrected)
    drawn = sum(map(has_mask, corrected["annotations"]))
    if drawn and not any(map(has_mask, (theirs for theirs in pairs.values()))):
        known = len(_image_ids(dataset, corrected))
        files = [quote(each["images"][0]["file_name"]) for each in (corrected, dataset)]
        raise ValueError(
            f"Expected '{name}' to have masks of these boxes, but none of its {drawn} masks "
            + (
                "has a box near one in the image of its name (IoU of at least 0.5). "
                if known
                else f"is in an image of the same name: its first is {files[0]}, here {files[1]}. "
            )
            + "Export with file names, for the json that was imported into the tool."
        )
    sizes = _sizes(dataset)
    changed = {
        ours["id"]: pairs[index]["segmentation"]
        for index, ours in enumerate(dataset["annotations"])
        if index in pairs and _is_corrected(ours, pairs[index], sizes[ours["image_id"]])
    }
    merged = {**dataset, "annotations": [_merge(a, changed) for a in dataset["annotations"]]}
    _check_fit(merged, changed, name)
    return CorrectedMasks(
        {**merged, "annotations": [_with_area(a, sizes, changed) for a in merged["annotations"]]},
        changed=frozenset(changed),
        renumbered=sum(dataset["annotations"][i]["id"] != a["id"] for i, a in pairs.items()),
        ignored=[*_changes(dataset, corrected, pairs), *_deletions(dataset, corrected, pairs)],
    )


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


def _check_fit(merged: Json, changed: dict[Any, Any], name: str) -> None:
    problems = [p for value, p in find_mask_problems(merged).items() if value in changed]
    if problems:
        shown = "".join(f"\n- {problem}" for problem in problems[:5])
        raise ValueError(
            f"Expected the masks of '{name}' to fit their boxes, but {len(problems)} of "
            f"{len(changed)} do not.{shown}"
        )


def _sizes(dataset: Json) -> dict[Any, Json]:
    return {i["id"]: dict(height=i["height"], width=i["width"]) for i in dataset["images"]}


def _match(dataset: Json, corrected: Json) -> dict[int, Json]:
    """Return the annotation of the export of each box, by the index of the box."""
    images = _image_ids(dataset, corrected)
    ours, theirs = defaultdict(list), defaultdict(list)
    for index, annotation in enumerate(dataset["annotations"]):
        ours[annotation["image_id"]].append(index)
    for annotation in corrected["annotations"]:
        theirs[images.get(annotation["image_id"])].append(annotation)
    pairs = {}
    for image, found in theirs.items():
        own = [dataset["annotations"][index] for index in ours.get(image, ())]
        for row, column in _pairs(own, found, *map(_names, (dataset, corrected))):
            pairs[ours[image][row]] = found[column]
    return pairs


def _image_ids(dataset: Json, corrected: Json) -> dict[Any, Any]:
    """Map the images of the export to those of the boxes.

    Tools drop folders, or add one: the image is the one whose path has the longest end in common,
    from whole parts. Equal ids decide between several.
    """
    named, whole = defaultdict(list), defaultdict(list)
    for image in dataset["images"]:
        parts = _parts(image)
        named[parts[-1]].append((parts, image["id"]))
        whole[parts].append(image["id"])
    found = {}
    for image in corrected["images"]:
        parts, value = _parts(image), image["id"]
        own = whole.get(parts) or _longest(parts, named[parts[-1]])
        if value in own:
            found[value] = value
        elif len(own) == 1:
            found[value] = own[0]
    return found


def _longest(parts: tuple[str, ...], images: list[tuple[tuple[str, ...], Any]]) -> list[Any]:
    """Return the ids of the images with the longest end in common with a path."""
    lengths = [_common(parts, others) for others, _ in images]
    longest = max(lengths, default=0)
    return [value for (_, value), n in zip(images, lengths, strict=True) if n == longest]


def _parts(image: Json) -> tuple[str, ...]:
    """Return the parts of a file name with separators of either kind."""
    return PureWindowsPath(image["file_name"]).parts or ("",)


def _common(parts: tuple[str, ...], others: tuple[str, ...]) -> int:
    """Count the equal parts at the end of two file names."""
    pairs = zip(reversed(parts), reversed(others), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _check_sizes(dataset: Json, corrected: Json, name: str) -> None:
    ours, theirs = _sizes(dataset), _sizes(corrected)
    for key, own in _image_ids(dataset, corrected).items():
        if theirs[key] != ours[own]:
            shown = [f"{size['width']} x {size['height']}" for size in (theirs[key], ours[own])]
            file = next(i["file_name"] for i in dataset["images"] if i["id"] == own)
            raise ValueError(
                f"Expected '{name}' to have images of the same size as these, but {quote(file)} is "
                f"{shown[0]} pixels there and {shown[1]} here. Export at the original size."
            )


def _pairs(
    ours: list[Json], theirs: list[Json], names: dict[Any, str], their_names: dict[Any, str]
) -> Iterator[tuple[int, int]]:
    """Yield indices of annotations of one image that are of one object."""
    if not (ours and theirs):
        return
    boxes = (np.array([a["bbox"] for a in each], float) for each in (ours, theirs))
    ious = coco_mask.iou(*boxes, [0] * len(theirs))
    equal_ids = np.array([[a["id"] == b["id"] for b in theirs] for a in ours])
    classes = [
        [names[a["category_id"]] == their_names[b["category_id"]] for b in theirs] for a in ours
    ]
    scores = np.where(ious >= _LEAST, ious + _EQUAL * equal_ids + _EQUAL * np.array(classes), 0)
    for row, column in zip(*linear_sum_assignment(scores, maximize=True), strict=True):
        if scores[row, column]:
            yield int(row), int(column)


def _names(dataset: Json) -> dict[Any, str]:
    return {category["id"]: category["name"] for category in dataset["categories"]}


def _is_corrected(ours: Json, theirs: Json, size: Json) -> bool:
    """Return whether a mask differs from that of its box by more than its outermost pixels."""
    own, mask = ours.get("segmentation"), theirs.get("segmentation")
    if not has_mask(theirs) or mask == own:
        return False
    if not has_mask(ours) or sensible_mask(mask, **size) is None:
        return True
    codes = [to_rle(each, **size) for each in (own, mask)]
    if coco_mask.iou(codes[:1], codes[1:], [0])[0, 0] < _SAME:
        return True
    before, after = map(coco_mask.decode, codes)
    kernel = np.ones((3, 3), np.uint8)
    border = cv2.dilate(before, kernel) > cv2.erode(before, kernel)
    return bool(((before != after) & ~border).any())


def _changes(dataset: Json, corrected: Json, pairs: dict[int, Json]) -> list[str]:
    """List unknown images, new annotations, and those of another class or box."""
    names, new_names, sizes = _names(dataset), _names(corrected), _sizes(corrected)
    boxes = {id(theirs): dataset["annotations"][index] for index, theirs in pairs.items()}
    images = _image_ids(dataset, corrected)
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


def _deletions(dataset: Json, corrected: Json, pairs: dict[int, Json]) -> list[str]:
    """List the boxes of the exported images that are missing, or without their mask."""
    images = set(_image_ids(dataset, corrected).values())
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
    if not has_mask(annotation):
        return False
    mask = to_rle(annotation["segmentation"], **size)
    return _near(annotation["bbox"], coco_mask.toBbox(mask).tolist())
