"""Parse single values of a COCO json: every part of the package reads them by these functions."""

from __future__ import annotations

import math
from collections.abc import Iterable
from reprlib import Repr
from typing import Any

from mmdet_discobox.utils.types import Json

#: Training computes in float32, which represents whole pixels exactly up to here.
MAX_COORDINATE = 2**24
#: OpenCV, which mmdet reads images with, refuses larger images.
MAX_PIXELS = 2**30
#: Programs that write ids as floats round larger ones.
_MAX_FLOAT_ID = 2**53
#: Fields that mark a box as no object of its own.
FLAGS = ("iscrowd", "ignore")

_SHORT = Repr()
_SHORT.maxlevel, _SHORT.maxlist, _SHORT.maxtuple, _SHORT.maxdict = 4, 8, 8, 8
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 80


def quote(value: Any) -> str:
    """Return the ``repr`` of a value, shortened to 80 characters, however large the value is."""
    text = _SHORT.repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def quote_some(values: Iterable[Any], *, limit: int = 10) -> str:
    """Join the first ``limit`` quoted values, with the total number if there are more."""
    values = list(values)
    text = ", ".join(quote(value) for value in values[:limit])
    return text if len(values) <= limit else f"{text}, ... ({len(values)} in all)"


def is_number(value: Any) -> bool:
    """Return whether a value is a number; json has ``true`` and ``false`` beside these."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def parse_id(value: Any) -> int | str | None:
    """Return an id: a whole number of any size or a string; None for any other value.

    Whole floats, as pandas writes them, become integers.
    """
    if isinstance(value, float) and value.is_integer() and abs(value) <= _MAX_FLOAT_ID:
        return int(value)
    return value if isinstance(value, (int, str)) and not isinstance(value, bool) else None


def parse_side(value: Any) -> int | None:
    """Return the width or height of an image in whole pixels; None for any other value."""
    if not is_number(value) or not 0 < value <= MAX_COORDINATE or value != int(value):
        return None
    return int(value)


def parse_flag(value: Any) -> bool | None:
    """Return a flag: 0, 1, true or false, as number or text; missing or null is false.

    Returns:
        None for any other value.
    """
    text = str(value).strip().lower() if is_number(value) or isinstance(value, str) else value
    if text is None or text is False or text in ("0", "0.0", "false", ""):
        return False
    return True if text is True or text in ("1", "1.0", "true") else None


def is_set(record: Json, *names: str) -> bool:
    """Return whether any of these flags of an annotation is set."""
    return any(parse_flag(record.get(name)) for name in names)


def enclosing_box(box: list[float], degrees: float) -> list[float]:
    """Return the upright box around a rectangle that is rotated around its centre.

    Args:
        box: ``[x, y, width, height]`` of the rectangle before the rotation.
        degrees: angle of the rotation.
    """
    x, y, width, height = box
    cos, sin = abs(math.cos(math.radians(degrees))), abs(math.sin(math.radians(degrees)))
    sides = (width * cos + height * sin, width * sin + height * cos)
    corner = (x + (width - sides[0]) / 2, y + (height - sides[1]) / 2)
    return [round(value, 6) + 0.0 for value in (*corner, *sides)]


def rotation_of(annotation: Json) -> float:
    """Return ``attributes.rotation`` in degrees, as CVAT writes it; 0 if there is none."""
    attributes = annotation.get("attributes")
    degrees: Any = attributes.get("rotation") if isinstance(attributes, dict) else None
    return float(degrees) if is_number(degrees) and abs(degrees) <= _MAX_FLOAT_ID else 0.0
