"""Type check of the sub-modules that a config names."""

from __future__ import annotations

from typing import Any


def check_module_type(key: str, module: Any, expected: type) -> None:
    """Check that a sub-module built from the config has the expected class.

    Args:
        key: config key of the sub-module.
        module: the sub-module.
        expected: its class, or a parent of it.

    Raises:
        TypeError: if it has another class.
    """
    if not isinstance(module, expected):
        name = expected.__name__
        raise TypeError(
            f"Expected `{key}` to be a {name} but got {type(module).__name__}. Set "
            f"`{key}=dict(type='{name}')`, with `_delete_=True` over a base that has keys which "
            f"{name} does not accept."
        )
