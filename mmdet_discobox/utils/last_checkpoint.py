"""The checkpoint that a killed training resumes from.

mmengine writes a checkpoint, then its path into ``last_checkpoint``, neither atomically: a kill
leaves half a checkpoint, or an empty ``last_checkpoint`` with which ``--resume`` fails.

Repair before a resume replaces an atomic write: it also finds half checkpoints, holds for a kill at
any moment and for files of any version of mmengine. A hook after the save could not close the gap:
mmengine has emptied the file by then.
"""

from __future__ import annotations

import locale
import re
import zipfile
from collections.abc import Iterable
from pathlib import Path

from .files import write_bytes

_CHECKPOINT = re.compile(r"(?:epoch|iter)_\d+\.pth")


def repair_last_checkpoint(work_dir: Path, folders: Iterable[Path] = ()) -> str | None:
    """Let ``last_checkpoint`` name a whole checkpoint, the newest, unless it names one already.

    Without any, the file is removed, and mmengine starts from the beginning.

    Args:
        work_dir: folder of ``last_checkpoint``.
        folders: folders of the checkpoints besides ``work_dir``.

    Returns:
        What was wrong and what was done, None if nothing was.
    """
    file = work_dir / "last_checkpoint"
    encoding = locale.getpreferredencoding(False)  # mmengine's, which names none
    named = file.read_text(encoding, errors="replace").strip() if file.is_file() else None
    if named and ("://" in named or is_whole(Path(named))):
        return None
    found = newest_whole_checkpoint([work_dir, *folders])
    if found is None and named is None:
        return None
    wrong = "is missing" if named is None else f"names {named!r}" if named else "is empty"
    if found is None:
        file.unlink()
        return (
            f"'{file}' {wrong}, and there is no whole checkpoint, maybe after a kill: the training "
            "starts from the beginning."
        )
    write_bytes(file, str(found).encode(encoding))
    return (
        f"'{file}' {wrong}, which is no whole checkpoint, maybe after a kill: the training resumes "
        f"from the newest whole one, '{found}'."
    )


def newest_whole_checkpoint(folders: Iterable[Path]) -> Path | None:
    """Return the newest ``epoch_N.pth`` or ``iter_N.pth`` that is whole, None without one."""
    paths = [path for folder in folders if folder.is_dir() for path in folder.iterdir()]
    # a link may lead to a file that was removed
    checkpoints = [path for path in paths if _CHECKPOINT.fullmatch(path.name) and path.exists()]
    checkpoints.sort(key=lambda path: path.stat().st_mtime_ns)
    return next((path for path in reversed(checkpoints) if is_whole(path)), None)


def is_whole(path: Path) -> bool:
    """Return whether a checkpoint was written to its end, where torch has the table of contents.

    Folders, which deepspeed writes, count as whole.
    """
    return path.is_dir() or (path.is_file() and zipfile.is_zipfile(path))
