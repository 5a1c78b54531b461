"""The label files of a folder."""

from __future__ import annotations

from pathlib import Path


def label_files(folder: Path, suffix: str) -> list[Path]:
    """List the files of a folder with a suffix, in any case, sorted.

    Hidden files are no labels: macOS writes ``._NAME`` beside each file on drives of other systems.

    Args:
        folder: Folder of the files; its sub-folders are not searched.
        suffix: For example ``.xml``.
    """
    return sorted(file for file in visible_files(folder) if file.suffix.lower() == suffix)


def visible_files(folder: Path) -> list[Path]:
    """List the files of a folder that are not hidden."""
    return [file for file in folder.iterdir() if not file.name.startswith(".")]
