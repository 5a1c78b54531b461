"""Validate single images, categories and annotations of a COCO json; report one problem of each."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Any

from mmdet_discobox.utils.types import Json

_Fault = tuple[str, str]  # the fault, and how to fix it

# Training computes in float32, which represents whole pixels exactly up to here.
_MAX_COORDINATE = 2**24


@dataclass(frozen=True)
class Problem:
    """A fault of a COCO json.

    Attributes:
        where: The record, for example ``annotation 7 (image 3, 'street.jpg')``.
        fault: What is wrong, with the value found.
        fix: How to fix it.
    """

    where: str
    fault: str
    fix: str

    def __str__(self) -> str:
        return f"{self.where}: {self.fault}. {self.fix}."


def quote(value: Any) -> str:
    """Return the ``repr`` of a value, shortened to 80 characters."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def quote_some(values: Iterable[Any], *, limit: int = 10) -> str:
    """Join the first ``limit`` quoted values, with the total number if there are more."""
    values = list(values)
    text = ", ".join(quote(value) for value in values[:limit])
    return text if len(values) <= limit else f"{text}, ... ({len(values)} in all)"


def image_problems(images: list[Json]) -> list[Problem]:
    """Find images with an invalid ``id``, ``file_name``, ``width`` or ``height``."""
    return _record_problems(images, "image", _image_fault)


def category_problems(categories: list[Json]) -> list[Problem]:
    """Find categories with an invalid ``id`` or ``name``."""
    return _record_problems(categories, "category", _category_fault)


def annotation_problems(
    *, images: list[Json], annotations: list[Json], categories: list[Json]
) -> list[Problem]:
    """Find annotations with an invalid ``id``, ``image_id``, ``category_id`` or ``bbox``."""
    image_of = {_key(image): image for image in images}
    category_ids = {_key(category) for category in categories}
    problems: list[Problem] = []
    seen: set[Hashable] = set()
    for index, annotation in enumerate(annotations):
        image_id = _key(annotation, "image_id")
        fault = _id_fault(annotation, "annotation", seen)
        if fault is None and image_id not in image_of:
            value = quote(annotation.get("image_id"))
            fault = (f"`image_id` {value} is not in `images`", "Add the image or drop the box")
        if fault is None and _key(annotation, "category_id") not in category_ids:
            value = quote(annotation.get("category_id"))
            fix = f"Use one of {quote_some(category_ids)}, or add the category"
            fault = (f"`category_id` {value} is not in `categories`", fix)
        fault = fault or _box_fault(annotation.get("bbox"))
        if fault:
            where = locate_annotation(annotation, index, image_of.get(image_id))
            problems.append(Problem(where, *fault))
        seen.add(_key(annotation))
    return problems


def _record_problems(
    records: list[Json], kind: str, find_fault: Callable[[Json], _Fault | None]
) -> list[Problem]:
    """Find images or categories with an invalid or repeated id, or a fault of ``find_fault``."""
    problems: list[Problem] = []
    seen: set[Hashable] = set()
    for index, record in enumerate(records):
        if fault := _id_fault(record, kind, seen) or find_fault(record):
            name = record.get("file_name", record.get("name"))
            valid = _is_id(record.get("id"))
            which = f"{kind} {quote(record['id'])}" if valid else f"`{kind}` no. {index}"
            problems.append(Problem(f"{which} ({quote(name)})", *fault))
        seen.add(_key(record))
    return problems


def _id_fault(record: Json, kind: str, seen: set[Hashable]) -> _Fault | None:
    if not _is_id(record.get("id")):
        fault = f"its `id` is {quote(record['id'])}" if "id" in record else "it has no `id`"
        return (fault, "Give it an `id`, a whole number or a string")
    if _key(record) in seen:
        return (f"its `id` {record['id']!r} occurs twice", f"Give each {kind} a unique `id`")
    return None


def _image_fault(image: Json) -> _Fault | None:
    if not isinstance(image.get("file_name"), str) or not image["file_name"]:
        return (f"`file_name` is {quote(image.get('file_name'))}", "Set it to the image's file")
    for side in ("width", "height"):
        value: Any = image.get(side)
        if not _is_number(value) or not 0 < value <= _MAX_COORDINATE:
            return (f"`{side}` is {quote(value)}", f"Set it to the {side} of the image in pixels")
    return None


def _category_fault(category: Json) -> _Fault | None:
    if not isinstance(category.get("name"), str):
        return (f"`name` is {quote(category.get('name'))}", "Set it to the name of the category")
    return None


def _box_fault(box: Any) -> _Fault | None:
    fix = "COCO has [x, y, width, height] in pixels; fix the box or drop the annotation"
    if box is None:
        return ("has no `bbox`", fix)
    if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)):
        return (f"expected `bbox` to be four numbers, but got {quote(box)}", fix)
    if not all(-_MAX_COORDINATE <= value <= _MAX_COORDINATE for value in box):  # false for NaN
        limit = f"finite and at most {_MAX_COORDINATE} in size"
        return (f"expected the numbers of `bbox` to be {limit}, but got {quote(box)}", fix)
    if box[2] < 0 or box[3] < 0:
        fix = f"{fix}. Corners (x1, y1, x2, y2) in another order can look like this"
        return (f"expected no negative width or height in `bbox`, but got {quote(box)}", fix)
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_id(value: Any) -> bool:
    return isinstance(value, (int, str)) and not isinstance(value, bool)


def _key(record: Json, field: str = "id") -> Hashable:
    """Return an id, or None if its type is not that of an id."""
    value = record.get(field)
    return value if isinstance(value, (int, str, float)) else None


def locate_annotation(annotation: Json, index: int, image: Json | None) -> str:
    """Name an annotation, by its index if it has no valid id, with its image."""
    known = _is_id(annotation.get("id"))
    which = f"annotation {quote(annotation['id'])}" if known else f"`annotations[{index}]`"
    file_name = "" if image is None else f", {quote(image.get('file_name'))}"
    return f"{which} (image {quote(annotation.get('image_id'))}{file_name})"
