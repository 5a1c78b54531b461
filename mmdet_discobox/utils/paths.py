"""Checks that files and folders exist, with errors that name their source."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path


def require_paths(paths: Iterable[Path], *, source: str) -> None:
    """Check that files and folders exist.

    Args:
        paths: required files and folders.
        source: origin of the files, for the error.

    Raises:
        FileNotFoundError: with the first of the missing paths, their number, and the source.
    """
    missing = [path for path in paths if not path.exists()]
    _raise_missing(missing, source)


def require_files(folder: Path, names: Iterable[str], *, source: str) -> None:
    """Check that many files of a folder exist; the folder is listed once.

    Args:
        folder: folder of the files.
        names: names of the files.
        source: origin of the files, for the error.

    Raises:
        FileNotFoundError: with the first of the missing paths, their number, and the source.
    """
    require_paths([folder], source=source)
    there = set(os.listdir(folder))
    _raise_missing([folder / name for name in names if name not in there], source)


def is_file(path: Path) -> bool:
    """Return whether a file exists; False for a name that no file can have."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long, or with a null byte
        return False


def is_inside(name: str, folder: str | Path) -> bool:
    """Return whether a file name stays in a folder that it is joined with, by its text alone.

    Absolute names and ``..`` may leave the folder. Links in the folder are the user's.
    """
    path = os.path.abspath(os.path.join(folder, name))
    root = os.path.abspath(folder)
    return path != root and os.path.commonpath([path, root]) == root


def _raise_missing(missing: list[Path], source: str) -> None:
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise FileNotFoundError(f"Expected '{missing[0]}'{more}, but it is not there. {source}")
