"""Read a config that a user names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mmengine.config import Config


def read_config(path: str | Path, *parts: str) -> Config:
    """Read a config, and check that it has what is asked of it.

    Args:
        path: file of the config.
        *parts: keys that the config needs, each with a mapping.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file or a base of it is no valid Python, or a key is missing or None.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"Expected a config at '{path}', but there is no such file.")
    try:
        config = Config.fromfile(path)
    except SyntaxError as error:
        raise ValueError(
            f"Expected '{path}' to be a config of mmdet, but it is no valid Python: {error}."
        ) from error
    if missing := [part for part in parts if not isinstance(config.get(part), Mapping)]:
        raise ValueError(
            f"Expected '{path}' to be a config of mmdet with {' and '.join(map(repr, missing))}, "
            f"but its keys are {', '.join(sorted(config)[:10]) or 'none'}, or the value is None. "
            "Pass the config of the training."
        )
    return config
