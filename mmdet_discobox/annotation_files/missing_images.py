"""Find out why an image is missing: its file is often there, in another place or spelling."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path, PurePosixPath

from mmdet_discobox.utils.images import is_image_name
from mmdet_discobox.utils.paths import is_file

from .coco_records import look

#: folders above that of the images, and folders in it, that are searched
_ABOVE, _BELOW = 3, 1000


def missing_image_hint(name: str, folder: str | Path) -> str | None:
    r"""Say where the file of a missing image is, and what to change.

    Known are the folder above or below that of the images, ``\`` of Windows in the place of ``/``,
    and names that differ in case, ending or Unicode characters alone.

    Args:
        name: ``file_name`` of the image, which is not in the folder.
        folder: folder of the images.

    Returns:
        The hint without a full stop; None if no such file is found.
    """
    folder, plain = Path(folder), PurePosixPath(name.replace("\\", "/"))
    if str(plain) != name and is_file(folder / plain):
        return f"'{plain}' is there: write `/` in the place of the backslashes of {name!r}"
    return _similar(plain, folder / plain.parent) or _above(plain, folder) or _below(plain, folder)


def _similar(name: PurePosixPath, folder: Path) -> str | None:
    """Find a file of another spelling in the folder that the name says."""
    files = [file for file in _files(folder) if file != name.name]  # a folder can have the name
    if twin := next((file for file in files if look(file) == look(name.name)), None):
        return (
            f"A file {twin!a} looks alike, but has other Unicode characters than {name.name!a}: "
            "rename the files, or change the `file_name`"
        )
    small = look(name.name).casefold()
    if twin := next((file for file in files if look(file).casefold() == small), None):
        return f"'{twin}' is there, in other upper and lower case than '{name.name}'"
    images = filter(is_image_name, files)
    if twin := next((file for file in images if PurePosixPath(file).stem == name.stem), None):
        return f"'{twin}' is there, with another ending than '{name.name}'"
    return None


def _above(name: PurePosixPath, folder: Path) -> str | None:
    """Find the folder that the name starts from, if the given one repeats a part of the name."""
    parents = folder.absolute().parents[:_ABOVE] if len(name.parts) > 1 else ()
    for parent in parents:
        if is_file(parent / name):
            return f"'{name}' is in '{parent}': pass this as the folder of the images"
    return None


def _below(name: PurePosixPath, folder: Path) -> str | None:
    """Find the file in a sub-folder, or under the last parts of its name.

    Other files of the last part are no hint: numbered ones are in many folders.
    """
    for path, folders, files in islice(os.walk(folder), _BELOW):
        folders.sort()
        if name.name not in files:
            continue
        parts = Path(path, name.name).relative_to(folder).parts
        found, more = "/".join(parts), len(parts) - len(name.parts)
        if more <= 0 and name.parts[-more:] == parts:
            return f"'{found}' is there: write this as the `file_name` in the place of '{name}'"
        if more > 0 and parts[more:] == name.parts:
            start = folder.joinpath(*parts[:more])
            return (
                f"'{name}' is in '{start}': pass this as the folder of the images, or write "
                f"'{found}' as the `file_name`"
            )
    return None


def _files(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except (OSError, ValueError):  # no folder, or a name that none can have
        return []
