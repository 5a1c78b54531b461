"""Read regular files only, and write atomically: readers see the old or the new file whole."""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from .types import Json

#: most bytes of a name in the file systems of Linux
_LONGEST = 255


def read_regular(path: str | Path) -> bytes:
    """Read a regular file; devices and pipes, which may never end, are refused.

    Raises:
        FileNotFoundError: if there is no regular file, or the name is none that a file can have.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise FileNotFoundError(f"Expected a regular file at '{path}', but it is none.")
        return Path(path).read_bytes()
    except ValueError as error:  # a null byte, or half a character
        raise FileNotFoundError(f"Expected a file at {str(path)!r}: {error}.") from error


def is_stream(path: Path) -> bool:
    """Return whether a path is a device, a pipe or a socket, such as ``/dev/null``."""
    return path.exists() and not path.is_file() and not path.is_dir()


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a file for an atomic write.

    Args:
        path: file to write or replace; of a symbolic link, the file that it leads to. The content
            is written to a temporary ``.part`` file next to it, which replaces it at the end of the
            context, or is deleted on an error. A device or a pipe is written to instead.

    Yields:
        The open file.
    """
    if is_stream(path):
        with path.open("wb") as file:
            yield file
        return
    path = path.resolve()
    partial = _with_ending(path, f".{os.getpid()}.part")
    try:
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # the new name never refers to unwritten content
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Write a folder in one piece, by one process at a time.

    Args:
        path: folder to create; one that exists must be empty. The files are written to a temporary
            ``.part`` folder next to it, which is renamed to ``path`` at the end of the context, or
            deleted on an error. What a killed write has left there is deleted first.

    Yields:
        The temporary folder.
    """
    path = path.resolve()
    partial = _with_ending(path, ".writing.part")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        yield partial
        os.replace(partial, path)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _with_ending(path: Path, ending: str) -> Path:
    """Return the temporary name of a file; that of a file with a long name is cut."""
    name = os.fsencode(path.name)[: _LONGEST - len(ending)]
    return path.with_name(os.fsdecode(name) + ending)


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
