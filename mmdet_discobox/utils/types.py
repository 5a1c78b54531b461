"""Types that several rooms share, and names of types in configs."""

from __future__ import annotations

from typing import Any

#: an object of a json file
Json = dict[str, Any]


def type_name(kind: Any) -> str:
    """Return the name of a class that a config gives as ``type``, without its module or scope.

    Args:
        kind: a name (``'Resize'``), a scope or module with a name (``'mmdet.Resize'``), as the text
            of Python-style configs has it, or a class, as these configs themselves have it.
    """
    return kind.__name__ if isinstance(kind, type) else str(kind).rpartition(".")[2]
