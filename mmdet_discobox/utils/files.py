"""Atomic writes: a file is the old one or the new one, never half of one."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from .types import Json


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a file for an atomic write.

    Args:
        path: file to write or replace. The content goes into a file of this process beside it,
            ``.part``, which takes the name of ``path`` when the context ends, and is deleted when
            the context ends in an error.

    Yields:
        The open file.
    """
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with unfinished.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # after a loss of power, the new name has the new content
        os.replace(unfinished, path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def write_bytes(path: Path, content: bytes) -> None:
    """Write or replace a binary file, atomically."""
    with replacing(path) as file:
        file.write(content)


def write_text(path: Path, text: str) -> None:
    """Write or replace a text file in UTF-8, atomically."""
    write_bytes(path, text.encode())


def write_json(path: Path, content: Json, *, indent: int | None = None) -> None:
    """Write or replace a json file, atomically.

    Args:
        path: file to write or replace.
        content: content of the file.
        indent: spaces of each level of nesting; None writes a single line.
    """
    write_text(path, json.dumps(content, indent=indent))
