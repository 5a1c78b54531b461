"""What can be wrong with a single image, category or annotation of a COCO json."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Any

from mmdet_discobox.utils.types import Json

Finding = tuple[str, str]  # what was found, and how to mend it

# Training computes in float32, which tells neighbouring pixels apart up to here.
_MAX_COORDINATE = 2**24


@dataclass(frozen=True)
class Problem:
    """One thing wrong in a COCO json.

    Attributes:
        where: The record, for example ``annotation 7 (image 3, 'street.jpg')``.
        found: What is wrong, with the value found.
        mend: What to do about it.
    """

    where: str
    found: str
    mend: str

    def __str__(self) -> str:
        return f"{self.where}: {self.found}. {self.mend}."


def quote(value: Any) -> str:
    """Write a value as Python does, but no longer than a line."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def quote_some(values: Iterable[Any], *, limit: int = 10) -> str:
    """List the first few values and the number of all."""
    values = list(values)
    text = ", ".join(quote(value) for value in values[:limit])
    return text if len(values) <= limit else f"{text}, ... ({len(values)} in all)"


def image_problems(images: list[Json]) -> list[Problem]:
    """Find images with a bad ``id``, ``file_name``, ``width`` or ``height``.

    Args:
        images: Objects of the list ``images``.

    Returns:
        At most one problem for each image.
    """
    return _record_problems(images, "image", _image_problem)


def category_problems(categories: list[Json]) -> list[Problem]:
    """Find categories with a bad ``id`` or ``name``.

    Args:
        categories: Objects of the list ``categories``.

    Returns:
        At most one problem for each category.
    """
    return _record_problems(categories, "category", _category_problem)


def annotation_problems(
    *, images: list[Json], annotations: list[Json], categories: list[Json]
) -> list[Problem]:
    """Find annotations with bad ids, references to nothing, or a box that is none.

    Args:
        images: The images they refer to.
        annotations: Objects with ``id``, ``image_id``, ``category_id`` and ``bbox``.
        categories: The categories they refer to.

    Returns:
        At most one problem for each annotation.
    """
    image_of = {_key(image): image for image in images}
    category_ids = {_key(category) for category in categories}
    problems: list[Problem] = []
    seen: set[Hashable] = set()
    for index, annotation in enumerate(annotations):
        key, image_id = _key(annotation), _key(annotation, "image_id")
        found = None
        if not _is_id(annotation.get("id")):
            found = (_found_id(annotation), "Give it an `id`, a whole number or a string")
        elif key in seen:
            found = (f"its `id` {key!r} occurs twice", "Give each annotation an `id` of its own")
        elif image_id not in image_of:
            value = quote(annotation.get("image_id"))
            found = (f"`image_id` {value} is not in `images`", "Add the image or drop the box")
        elif _key(annotation, "category_id") not in category_ids:
            value = quote(annotation.get("category_id"))
            mend = f"Use one of {quote_some(category_ids)}, or add the category"
            found = (f"`category_id` {value} is not in `categories`", mend)
        else:
            found = _box_problem(annotation.get("bbox"))
        if found:
            problems.append(Problem(_place(annotation, index, image_of.get(image_id)), *found))
        seen.add(key)
    return problems


def _record_problems(
    records: list[Json], kind: str, find: Callable[[Json], Finding | None]
) -> list[Problem]:
    """Find bad or repeated ids, and what ``find(record)`` does, in images or categories."""
    problems: list[Problem] = []
    seen: set[Hashable] = set()
    for index, record in enumerate(records):
        key = _key(record)
        found = find(record)
        if not _is_id(record.get("id")):
            found = (_found_id(record), "Give it an `id`, a whole number or a string")
        elif key in seen:
            found = (f"its `id` {key!r} occurs twice", f"Give each {kind} an `id` of its own")
        if found:
            name = record.get("file_name", record.get("name"))
            known = f"{kind} {quote(key)}" if _is_id(record.get("id")) else f"`{kind}` no. {index}"
            problems.append(Problem(f"{known} ({quote(name)})", *found))
        seen.add(key)
    return problems


def _image_problem(image: Json) -> Finding | None:
    if not isinstance(image.get("file_name"), str) or not image["file_name"]:
        return (f"`file_name` is {quote(image.get('file_name'))}", "Name the file of the image")
    for side in ("width", "height"):
        value: Any = image.get(side)
        if not _is_number(value) or not 0 < value <= _MAX_COORDINATE:
            return (f"`{side}` is {quote(value)}", f"Give the {side} of the image in pixels")
    return None


def _category_problem(category: Json) -> Finding | None:
    if not isinstance(category.get("name"), str):
        return (f"`name` is {quote(category.get('name'))}", "Give the name of the category")
    return None


def _box_problem(box: Any) -> Finding | None:
    mend = "COCO has [x, y, width, height] in pixels; mend the box or drop the annotation"
    if box is None:
        return ("has no `bbox`", mend)
    if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)):
        return (f"expected `bbox` to be four numbers, but got {quote(box)}", mend)
    if not all(-_MAX_COORDINATE <= value <= _MAX_COORDINATE for value in box):  # false for NaN
        limit = f"finite and at most {_MAX_COORDINATE} in size"
        return (f"expected the numbers of `bbox` to be {limit}, but got {quote(box)}", mend)
    if box[2] < 0 or box[3] < 0:
        mend = f"{mend}. Corners (x1, y1, x2, y2) in another order can look like this"
        return (f"expected no negative width or height in `bbox`, but got {quote(box)}", mend)
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_id(value: Any) -> bool:
    return isinstance(value, (int, str)) and not isinstance(value, bool)


def _key(record: Json, field: str = "id") -> Hashable:
    """Return an id, or None where it is of a type that cannot be looked up."""
    value = record.get(field)
    return value if isinstance(value, (int, str, float)) else None


def _found_id(record: Json) -> str:
    return f"its `id` is {quote(record['id'])}" if "id" in record else "it has no `id`"


def _place(annotation: Json, index: int, image: Json | None) -> str:
    known = _is_id(annotation.get("id"))
    which = f"annotation {quote(annotation['id'])}" if known else f"`annotations[{index}]`"
    file_name = "" if image is None else f", {quote(image.get('file_name'))}"
    return f"{which} (image {quote(annotation.get('image_id'))}{file_name})"
