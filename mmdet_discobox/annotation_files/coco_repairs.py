"""Repair optional fields of a COCO json in which tools and converters write nonsense.

Every reader of the package gets the same values: ids and sizes as whole numbers, flags as 0 or 1,
the boxes around CVAT's rotated rectangles, and segmentations and areas that make sense.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from mmdet_discobox.utils.types import Json

from .annotated_masks import object_area, sensible_mask
from .coco_values import (
    FLAGS,
    enclosing_box,
    parse_flag,
    parse_id,
    parse_side,
    quote,
    rotation_of,
)

#: annotations that a repair names
_EXAMPLES = 5
_TEXTS = {
    "bbox": (
        "{count} boxes are rotated rectangles of CVAT, and the upright boxes around them are used",
        "No action needed; a box that is not tight around its object teaches less",
    ),
    "segmentation": (
        "{count} segmentations are no mask of their image and count as none",
        "No action needed to train on boxes; mask AP needs a mask of every object",
    ),
    "polygons": (
        "{count} masks have polygons of fewer than three points, or far outside their image, which "
        "are left out",
        "No action needed if intended: the other polygons of these masks stay",
    ),
    "area": (
        "{count} areas cannot be those of their objects and are computed anew",
        "No action needed",
    ),
}


@dataclass(frozen=True)
class Repair:
    """One kind of repair.

    Attributes:
        text: what was repaired; contains the number.
        fix: what the user may do.
        count: number of annotations.
        examples: the first of them, with their values in the file.
    """

    text: str
    fix: str
    count: int
    examples: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.text}, first {self.examples[0]}. {self.fix}."


def repair(dataset: Json, *, masks: bool = True) -> tuple[Json, list[Repair]]:
    """Repair the records of a COCO json without problems, see :func:`find_problems`.

    Args:
        dataset: the json; not changed. ``annotations`` may be missing.
        masks: whether to repair ``segmentation`` and ``area``, too. If not, nobody may read them.

    Returns:
        The repaired json, which shares its unchanged records with the input, and the repairs that
        a user should know of. Values of another type that mean the same are none.
    """
    images = [_changed(image, _image_fields(image)) for image in dataset["images"]]
    sizes = {i["id"]: dict(height=i["height"], width=i["width"]) for i in images}
    examples: dict[str, list[str]] = defaultdict(list)
    annotations = []
    for raw in dataset.get("annotations", []):
        annotation = _changed(raw, _box_fields(raw))
        if masks:
            annotation = _with_mask_fields(annotation, sizes[annotation["image_id"]])
        for name in ("bbox", "segmentation", "area"):
            if _is_repaired(name, raw, annotation):
                kind = "polygons" if name == "segmentation" and name in annotation else name
                examples[kind].append(f"annotation {quote(raw['id'])}: {quote(raw[name])}")
        annotations.append(annotation)
    categories = [_changed(each, dict(id=parse_id(each["id"]))) for each in dataset["categories"]]
    repairs = [
        Repair(text.format(count=len(found)), fix, len(found), tuple(found[:_EXAMPLES]))
        for name, (text, fix) in _TEXTS.items()
        if (found := examples[name])
    ]
    repaired = dict(dataset, images=images, categories=categories)
    return (dict(repaired, annotations=annotations) if "annotations" in dataset else repaired), (
        repairs
    )


def trim_masks(dataset: Json) -> Json:
    """Leave out of each mask what :func:`repair` leaves out; masks without sense stay as they are.

    Args:
        dataset: result of :func:`repair` with ``masks=False``; not changed.

    Returns:
        The json, for :func:`.find_mask_problems` to report the masks without sense.
    """
    sizes = {i["id"]: dict(height=i["height"], width=i["width"]) for i in dataset["images"]}
    annotations = []
    for annotation in dataset["annotations"]:
        if segmentation := annotation.get("segmentation"):
            mask = sensible_mask(segmentation, **sizes[annotation["image_id"]])
            annotation = _changed(annotation, dict(segmentation=mask or segmentation))
        annotations.append(annotation)
    return dict(dataset, annotations=annotations)


def _image_fields(image: Json) -> Json:
    sides = {side: parse_side(image[side]) for side in ("height", "width")}
    return dict(sides, id=parse_id(image["id"]))


def _box_fields(annotation: Json) -> Json:
    fields: Json = {name: parse_id(annotation[name]) for name in ("id", "image_id", "category_id")}
    fields |= {n: int(bool(parse_flag(annotation[n]))) for n in FLAGS if n in annotation}
    if degrees := rotation_of(annotation):
        fields["bbox"] = enclosing_box(annotation["bbox"], degrees)
        # the turned rectangle is kept under another name, so that nobody turns the box again
        fields["attributes"] = dict(annotation["attributes"], rotation=0.0)
        fields["rotated_rectangle"] = dict(bbox=annotation["bbox"], rotation=degrees)
    return fields


def _with_mask_fields(annotation: Json, size: dict[str, int]) -> Json:
    if "segmentation" in annotation:
        mask = sensible_mask(annotation["segmentation"], **size)
        if mask is None:
            annotation = {k: v for k, v in annotation.items() if k != "segmentation"}
        else:
            annotation = _changed(annotation, dict(segmentation=mask))
    return _changed(annotation, dict(area=object_area(annotation, **size)))


def _changed(record: Json, fields: Json) -> Json:
    """Return the record with these fields; the record itself if it has them all."""
    same = all(
        name in record and type(record[name]) is type(value) and record[name] == value
        for name, value in fields.items()
    )
    return record if same else {**record, **fields}


def _is_repaired(name: str, before: Json, after: Json) -> bool:
    """Return whether a value was nonsense; empty values and missing ones are not."""
    value: Any = before.get(name)
    empty = value is None or (name == "segmentation" and value in ([], [[]]))
    new: Any = after.get(name)
    return not empty and value is not new and value != new  # NaN differs from itself
