"""A part of another kind is named when it is built, and not by the first thing that it lacks."""

from __future__ import annotations

from typing import Any


def check_part(key: str, part: Any, kind: type) -> None:
    """Check what a config has put in a place.

    Args:
        key: of the config.
        part: what was built from it.
        kind: the class that is needed there, or a class that inherits from it.

    Raises:
        TypeError: if it is of another class.
    """
    if not isinstance(part, kind):
        raise TypeError(
            f"Expected `{key}` to be a {kind.__name__} but got {type(part).__name__}. Set "
            f"`{key}=dict(type='{kind.__name__}')`, with `_delete_=True` over a base whose other "
            "keys it does not have."
        )
