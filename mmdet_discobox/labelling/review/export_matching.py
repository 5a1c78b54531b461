"""Which image and box of a data set each annotation of an export from another tool belongs to."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import PureWindowsPath
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask
from scipy.optimize import linear_sum_assignment

from mmdet_discobox.annotation_files.coco_records import look
from mmdet_discobox.annotation_files.coco_values import quote
from mmdet_discobox.labelling.labelled_boxes import has_mask
from mmdet_discobox.utils.types import Json

#: IoU of boxes from which two annotations may be of one object
_LEAST = 0.5
#: what an equal id and an equal class are worth beside the IoU of the boxes
_EQUAL = 0.1
#: what a mask is worth: tools that draw a mask beside the box, not into it, export both
_DRAWN = 0.4
#: what Label Studio puts before the name of an uploaded file, and Roboflow after that of any
_PREFIX, _SUFFIX = re.compile(r"[0-9a-f]{8}-(?=.)"), re.compile(r"\.rf\.\w+\.\w+$")


@dataclass(frozen=True)
class ExportMatch:
    """The images and boxes of a data set that an export contains.

    Attributes:
        images: id in the data set of each image of the export, by its id there; images without a
            counterpart are missing.
        annotations: annotation of the export for each box, by the index of the box.
    """

    images: Mapping[Any, Any]
    annotations: Mapping[int, Json]


def match_export(dataset: Json, corrected: Json, *, name: str) -> ExportMatch:
    """Match the images of two COCO jsons by their file names, and the boxes in them.

    Images are found by the ends of their file names. Within an image, an annotation belongs to the
    box that it overlaps most, one to one and with an IoU of at least 0.5; equal ids and classes
    decide between similar boxes (many tools number annotations anew), and of two annotations of one
    object, the one with a mask is taken.

    Args:
        dataset: the COCO json that was imported into the tool.
        corrected: its export.
        name: name of the file of the export in errors.

    Raises:
        ValueError: if an image has another size in the export.
    """
    images = match_images(dataset, corrected)
    _check_sizes(dataset, corrected, images, name)
    return ExportMatch(images, _match_boxes(dataset, corrected, images))


def match_images(dataset: Json, corrected: Json) -> dict[Any, Any]:
    """Map the ids of the images of an export to those of a data set.

    Tools drop folders, or add one: the image is the one whose path has the longest end in common,
    from whole parts. Equal ids decide between several. So they do between several paths of the
    export: one with more folders than the data set has other images of the same name. Names that
    Label Studio or Roboflow has changed are understood if no image has them.
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
    found = _best_paths(found, dataset, corrected)
    return {**found, **_renamed(dataset, corrected, found)}


def _renamed(dataset: Json, corrected: Json, found: Mapping[Any, Any]) -> dict[Any, Any]:
    """Map the ids of the images that a tool has renamed, where one image alone comes into question.

    Roboflow exports `a b.png` as `a-b_png.rf.HASH.jpg`: letters and digits are compared.
    """
    ours, theirs = defaultdict(list), defaultdict(list)
    for image in dataset["images"]:
        for name in {_parts(image)[-1], _letters(_parts(image)[-1])}:
            ours[name].append(image["id"])
    for image in corrected["images"]:
        name = _parts(image)[-1]
        if suffix := _SUFFIX.search(name):
            theirs[_letters(name[: suffix.start()])].append(image["id"])
        elif prefix := _PREFIX.match(name):
            theirs[name[prefix.end() :]].append(image["id"])
    taken = set(found.values())
    pairs = [(theirs[name], ours[name]) for name in theirs.keys() & ours.keys()]
    return {
        values[0]: own[0]
        for values, own in pairs
        if len(values) == len(own) == 1 and values[0] not in found and own[0] not in taken
    }


def _letters(name: str) -> str:
    """Return the letters and digits of a name, without spaces and signs."""
    return re.sub(r"[\W_]+", "", name).lower()


def _best_paths(found: dict[Any, Any], dataset: Json, corrected: Json) -> dict[Any, Any]:
    """Keep of several paths of an export with one counterpart the one that fits best."""
    ours, theirs = ({i["id"]: _parts(i) for i in each["images"]} for each in (dataset, corrected))
    fits = defaultdict(list)
    for value, own in found.items():
        parts, others = theirs[value], ours[own]
        fits[own].append(((parts == others, _common(parts, others)), value))
    best = {}
    for own, rivals in fits.items():
        highest = max(fit for fit, _ in rivals)
        values = [value for fit, value in rivals if fit == highest]
        if len({theirs[value] for value in values}) > 1:
            values = [value for value in values if value == own]
        best.update(dict.fromkeys(values, own))
    return best


def _longest(parts: tuple[str, ...], images: list[tuple[tuple[str, ...], Any]]) -> list[Any]:
    """Return the ids of the images with the longest end in common with a path."""
    lengths = [_common(parts, others) for others, _ in images]
    longest = max(lengths, default=0)
    return [value for (_, value), n in zip(images, lengths, strict=True) if n == longest]


def _parts(image: Json) -> tuple[str, ...]:
    """Return the parts of a file name with separators and accents of either kind."""
    return PureWindowsPath(look(image["file_name"])).parts or ("",)


def _common(parts: tuple[str, ...], others: tuple[str, ...]) -> int:
    """Count the equal parts at the end of two file names."""
    pairs = zip(reversed(parts), reversed(others), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _check_sizes(dataset: Json, corrected: Json, images: Mapping[Any, Any], name: str) -> None:
    ours, theirs = image_sizes(dataset), image_sizes(corrected)
    for key, own in images.items():
        if theirs[key] != ours[own]:
            shown = [f"{size['width']} x {size['height']}" for size in (theirs[key], ours[own])]
            file = next(i["file_name"] for i in dataset["images"] if i["id"] == own)
            raise ValueError(
                f"Expected '{name}' to have images of the same size as these, but {quote(file)} is "
                f"{shown[0]} pixels there and {shown[1]} here. Export at the original size."
            )


def _match_boxes(dataset: Json, corrected: Json, images: Mapping[Any, Any]) -> dict[int, Json]:
    """Return the annotation of the export of each box, by the index of the box."""
    ours, theirs = defaultdict(list), defaultdict(list)
    for index, annotation in enumerate(dataset["annotations"]):
        ours[annotation["image_id"]].append(index)
    for annotation in corrected["annotations"]:
        theirs[images.get(annotation["image_id"])].append(annotation)
    pairs = {}
    for image, found in theirs.items():
        own = [dataset["annotations"][index] for index in ours.get(image, ())]
        for row, column in _pairs(own, found, *map(class_names, (dataset, corrected))):
            pairs[ours[image][row]] = found[column]
    return pairs


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
    drawn = np.array([has_mask(b) for b in theirs])
    worth = ious + _EQUAL * equal_ids + _EQUAL * np.array(classes) + _DRAWN * drawn
    scores = np.where(ious >= _LEAST, worth, 0)
    for row, column in zip(*linear_sum_assignment(scores, maximize=True), strict=True):
        if scores[row, column]:
            yield int(row), int(column)


def class_names(dataset: Json) -> dict[Any, str]:
    """Return the names of the classes by their ids, with composed accents."""
    return {category["id"]: look(category["name"]) for category in dataset["categories"]}


def image_sizes(dataset: Json) -> dict[Any, Json]:
    """Return ``height`` and ``width`` of the images by their ids."""
    return {i["id"]: dict(height=i["height"], width=i["width"]) for i in dataset["images"]}
