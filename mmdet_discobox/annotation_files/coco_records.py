"""Validate single images, categories and annotations of a COCO json; report one problem of each."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass
from typing import Any
from unicodedata import normalize

from mmdet_discobox.utils.types import Json

from .coco_values import (
    FLAGS,
    MAX_COORDINATE,
    MAX_PIXELS,
    is_number,
    parse_flag,
    parse_id,
    parse_side,
    quote,
    quote_some,
)

__all__ = [
    "Problem",
    "annotation_problems",
    "category_problems",
    "image_problems",
    "quote",
    "quote_some",
]

_Fault = tuple[str, str]  # the fault, and how to fix it

#: Deeper values of other fields cannot be written again: json's own writer gives up.
MAX_DEPTH = 50


@dataclass(frozen=True)
class Problem:
    """A fault of a COCO json.

    Attributes:
        where: the record, for example ``annotation 7 (image 3, 'street.jpg')``.
        fault: what is wrong, with the value found.
        fix: how to fix it.
    """

    where: str
    fault: str
    fix: str

    def __str__(self) -> str:
        return f"{self.where}: {self.fault}. {self.fix}."


def image_problems(images: list[Json]) -> list[Problem]:
    """Find images with an invalid ``id``, ``file_name``, ``width`` or ``height``."""
    return _record_problems(images, "image", _image_fault)


def category_problems(categories: list[Json]) -> list[Problem]:
    """Find categories with an invalid ``id`` or ``name``, or the name of another."""
    problems = _record_problems(categories, "category", _category_fault)
    return problems or _repeated_names(categories)


def annotation_problems(
    *, images: list[Json], annotations: list[Json], categories: list[Json]
) -> list[Problem]:
    """Find annotations with an invalid ``id``, reference, ``bbox`` or flag."""
    image_of = {_key(image): image for image in images}
    category_ids = {_key(category) for category in categories}
    problems: list[Problem] = []
    seen: set[Hashable] = set()
    for index, annotation in enumerate(annotations):
        fault = (
            _id_fault(annotation, "annotation", seen)
            or _reference_fault(annotation, "image_id", image_of, "images")
            or _reference_fault(annotation, "category_id", category_ids, "categories")
            or _box_fault(annotation.get("bbox"))
            or _flag_fault(annotation)
            or _depth_fault(annotation)
        )
        if fault:
            image = image_of.get(_key(annotation, "image_id"))
            problems.append(Problem(locate_annotation(annotation, index, image), *fault))
        seen.add(_key(annotation))
    return problems


def _record_problems(
    records: list[Json], kind: str, find_fault: Callable[[Json], _Fault | None]
) -> list[Problem]:
    """Find images or categories with an invalid or repeated id, or a fault of ``find_fault``."""
    problems: list[Problem] = []
    seen: set[Hashable] = set()
    for index, record in enumerate(records):
        fault = _id_fault(record, kind, seen) or find_fault(record) or _depth_fault(record)
        if fault:
            name = record.get("file_name", record.get("name"))
            valid = parse_id(record.get("id")) is not None
            which = f"{kind} {quote(record['id'])}" if valid else f"`{kind}` no. {index}"
            problems.append(Problem(f"{which} ({quote(name)})", *fault))
        seen.add(_key(record))
    return problems


def _id_fault(record: Json, kind: str, seen: set[Hashable]) -> _Fault | None:
    if _key(record) is None:
        fault = f"its `id` is {quote(record['id'])}" if "id" in record else "it has no `id`"
        return (fault, "Give it an `id`, a whole number or a string")
    if _key(record) in seen:
        return (f"its `id` {quote(record['id'])} occurs twice", f"Give each {kind} a unique `id`")
    return None


def _reference_fault(
    annotation: Json, field: str, known: Collection[Hashable], section: str
) -> _Fault | None:
    key = _key(annotation, field)
    if key is not None and key in known:
        return None
    if field not in annotation:
        return (f"has no `{field}`", f"Set it to the `id` of one of the `{section}`")
    fault = f"`{field}` {quote(annotation[field])} is not in `{section}`"
    if (twin := _other_type(key, known)) is not None:
        kinds = ("text", "a number") if isinstance(key, str) else ("a number", "text")
        return (fault, f"It is {kinds[0]}, their `id` is {kinds[1]}: write {twin!r}")
    if section == "images":
        return (fault, "Add the image or drop the box")
    return (fault, f"Use one of {quote_some(known)}, or add the category")


def _other_type(key: Hashable, known: Collection[Hashable]) -> Hashable:
    """Return the known id that differs from a key only in being text or a number."""
    if isinstance(key, int):
        return str(key) if str(key) in known else None
    number = int(key) if isinstance(key, str) and key.isdecimal() and len(key) < 40 else None
    return number if number is not None and number in known else None


def _image_fault(image: Json) -> _Fault | None:
    name = image.get("file_name")
    if not isinstance(name, str) or not name or not _is_text(name):
        return (f"`file_name` is {quote(name)}", "Set it to the image's file")
    for side in ("width", "height"):
        if parse_side(image.get(side)) is None:
            fault = f"`{side}` is {quote(image.get(side))}"
            return (fault, f"Set it to the {side} of the image in whole pixels")
    if image["width"] * image["height"] > MAX_PIXELS:
        fault = f"`width` and `height` are {image['width']} and {image['height']}"
        return (fault, f"OpenCV reads images of up to {MAX_PIXELS} pixels: cut it into tiles")
    return None


def _category_fault(category: Json) -> _Fault | None:
    if not isinstance(category.get("name"), str) or not _is_text(category["name"]):
        return (f"`name` is {quote(category.get('name'))}", "Set it to the name of the category")
    return None


def _repeated_names(categories: list[Json]) -> list[Problem]:
    """Find categories with the name of another, also if their letters are composed otherwise.

    mmdet treats these as several classes, in spite of one name in ``metainfo``.
    """
    first: dict[str, Json] = {}
    problems = []
    for category in categories:
        other = first.setdefault(look(category["name"]), category)
        if other is category:
            continue
        same = other["name"] == category["name"]
        how = "is" if same else "looks like, in other Unicode letters,"
        problems.append(
            Problem(
                f"category {quote(category['id'])} ({quote(category['name'])})",
                f"its name {how} that of category {quote(other['id'])}",
                "Merge the categories: give the boxes of both the same `category_id`, and delete "
                "the other category",
            )
        )
    return problems


def look(name: str) -> str:
    """Return a key that is equal for names that look alike, as composed and decomposed accents."""
    return normalize("NFC", name)


def _box_fault(box: Any) -> _Fault | None:
    fix = "COCO has [x, y, width, height] in pixels; fix the box or drop the annotation"
    if box is None:
        return ("has no `bbox`", fix)
    if not isinstance(box, list) or len(box) != 4 or not all(map(is_number, box)):
        return (f"expected `bbox` to be four numbers, but got {quote(box)}", fix)
    if not all(-MAX_COORDINATE <= value <= MAX_COORDINATE for value in box):  # false for NaN
        limit = f"finite and at most {MAX_COORDINATE} in size"
        return (f"expected the numbers of `bbox` to be {limit}, but got {quote(box)}", fix)
    if box[2] < 0 or box[3] < 0:
        fix = f"{fix}. Corners (x1, y1, x2, y2) in another order can look like this"
        return (f"expected no negative width or height in `bbox`, but got {quote(box)}", fix)
    return None


def _flag_fault(annotation: Json) -> _Fault | None:
    for name in FLAGS:
        if parse_flag(annotation.get(name)) is None:
            return (f"`{name}` is {quote(annotation[name])}", "Set it to 0 or 1")
    return None


def _depth_fault(record: Json) -> _Fault | None:
    for name, value in record.items():
        if name != "segmentation" and is_deep(value):
            fault = f"`{name}` is nested more than {MAX_DEPTH} levels deep"
            return (fault, "Delete this field")
    return None


def is_deep(value: Any, levels: int = MAX_DEPTH) -> bool:
    """Return whether lists and objects are nested in more than so many levels."""
    if not isinstance(value, (list, dict)):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(is_deep(each, levels - 1) for each in inner)


def _is_text(name: str) -> bool:
    """Return whether a name can be written: json permits halves of characters."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _key(record: Json, field: str = "id") -> Hashable:
    """Return an id, or None if its type is not that of an id."""
    return parse_id(record.get(field))


def locate_annotation(annotation: Json, index: int, image: Json | None) -> str:
    """Name an annotation, by its index if it has no valid id, with its image."""
    known = _key(annotation) is not None
    which = f"annotation {quote(annotation['id'])}" if known else f"`annotations[{index}]`"
    file_name = "" if image is None else f", {quote(image.get('file_name'))}"
    return f"{which} (image {quote(annotation.get('image_id'))}{file_name})"
