"""The label files of a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmdet_discobox.annotation_files.coco_records import look
from mmdet_discobox.utils.types import Json


def label_files(folder: Path, suffix: str) -> list[Path]:
    """List the files of a folder with a suffix, in any case, sorted.

    Hidden files are no labels: macOS writes ``._NAME`` beside each file on drives of other systems.

    Args:
        folder: folder of the files; its sub-folders are not searched.
        suffix: for example ``.xml``.
    """
    return sorted(file for file in visible_files(folder) if file.suffix.lower() == suffix)


def visible_files(folder: Path) -> list[Path]:
    """List the files of a folder that are not hidden."""
    return [file for file in folder.iterdir() if not file.name.startswith(".")]


def check_one_file_each(images: Sequence[Json], *, suffix: str, fix: str) -> None:
    """Check that no image has two files: the boxes of one would be background in the other.

    Args:
        images: records with ``file_name`` and ``label_file``.
        suffix: suffix of the files without a dot, for the error.
        fix: how to fix it.

    Raises:
        ValueError: with the first two files of one image.
    """
    files: dict[str, str] = {}
    for image in images:
        name, own = image["file_name"], image["label_file"]
        if name in files:
            alike = look(own) == look(files[name])  # then the letters are shown escaped
            first, second = map(ascii if alike else repr, (files[name], own))
            raise ValueError(
                f"Expected one {suffix} file for each image, but {first} and {second} are both of "
                f"'{name}'. {fix}"
            )
        files[name] = own
