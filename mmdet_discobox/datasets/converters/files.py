"""Files that are whole or not there, and errors that say where a missing one comes from."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TextIO

Json = dict[str, Any]


def require_paths(paths: Iterable[Path], *, source: str) -> None:
    """Look for files and folders.

    Args:
        paths: What has to be there.
        source: Where it comes from, for the error.

    Raises:
        FileNotFoundError: With the first of the missing paths, their number, and the source.
    """
    missing = [path for path in paths if not path.exists()]
    _raise_missing(missing, source)


def require_files(folder: Path, names: Iterable[str], *, source: str) -> None:
    """Look for many files of a folder, which is listed once.

    Args:
        folder: Where they have to be.
        names: Their names.
        source: Where they come from, for the error.

    Raises:
        FileNotFoundError: With the first of the missing paths, their number, and the source.
    """
    require_paths([folder], source=source)
    there = set(os.listdir(folder))
    _raise_missing([folder / name for name in names if name not in there], source)


def _raise_missing(missing: list[Path], source: str) -> None:
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise FileNotFoundError(f"Expected '{missing[0]}'{more}, but it is not there. {source}")


def is_file(path: Path) -> bool:
    """Whether there is such a file; False for a name that no file can have."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long, or with a null byte
        return False


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a file such that there is the old one or the new one, never half of one.

    Args:
        path: File to write or replace. What is written is beside it, as ``.part``, until the
            context ends, and gone if it ends in an error.
    """
    unfinished = path.with_name(f"{path.name}.part")
    try:
        with unfinished.open("wb") as file:
            yield file
        os.replace(unfinished, path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def write_json(path: Path, content: Json) -> None:
    """Write a json such that there is the old file or the new one, never half of one.

    Args:
        path: File to write or replace.
        content: What to write.
    """
    with replacing(path) as file:
        file.write(json.dumps(content).encode())


class Journal:
    """Finished pieces of a long piece of work, kept on disk so that it can go on after a kill.

    One json line follows the other; a line cut short by a kill is dropped, and so is a journal of
    other settings. ::

        with closing(Journal(path, settings)) as journal:
            if "a" not in journal.done:
                journal.add("a", work("a"))

    Args:
        path: File to keep them in.
        settings: What the pieces depend on.

    Attributes:
        done: The finished pieces by name.
    """

    def __init__(self, path: Path, settings: Json) -> None:
        self.path = path
        self.done: dict[str, Any] = {}
        header = json.dumps(settings)
        valid = self._read(header)
        self._file: TextIO = path.open("a", encoding="utf-8", newline="\n", buffering=1)
        self._file.truncate(valid)
        if not valid:
            self._file.write(f"{header}\n")

    def add(self, name: str, piece: Any) -> None:
        """Keep a finished piece."""
        self._file.write(f"{json.dumps([name, piece])}\n")
        self.done[name] = piece

    def close(self) -> None:
        """Close the file; it stays on disk."""
        self._file.close()

    def _read(self, header: str) -> int:
        """Read the finished pieces and return how many bytes are whole lines."""
        valid = 0
        if not self.path.is_file():
            return valid
        with self.path.open("rb") as file:
            if file.readline() != f"{header}\n".encode():
                return valid
            valid = file.tell()
            for line in file:
                try:
                    name, piece = json.loads(line)
                except ValueError:
                    break
                if not line.endswith(b"\n"):
                    break
                self.done[name] = piece
                valid += len(line)
        return valid
