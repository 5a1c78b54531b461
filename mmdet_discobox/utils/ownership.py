"""One run at a time for an output, also after kills."""

from __future__ import annotations

import errno
import os
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mmengine.dist import broadcast_object_list, get_rank

try:
    import fcntl
except ImportError:  # Windows, where nothing guards an output
    fcntl = None  # type: ignore[assignment]

_NAME = "owner.lock"
#: errors of a lock that another process holds
_HELD = (errno.EACCES, errno.EAGAIN)
#: open lock files of this process by their folders
_owned: dict[Path, int] = {}


@contextmanager
def sole_owner(folder: Path) -> Iterator[None]:
    """Own a folder of work while the context lasts, in all processes of a run.

    The owner is a lock of the operating system on a file in the folder, which ends with its
    process: a killed run owns nothing, and a run of several processes owns the folder until the
    last of them has ended. Contexts can be nested.

    Args:
        folder: the folder; created if absent, and removed at the end if it is empty then.

    Raises:
        ValueError: in all processes, if another run owns the folder.
    """
    folder = folder.resolve()
    if fcntl is None or folder in _owned:
        yield
        return
    try:
        _claim(folder)
        yield
    finally:
        _disown(folder)


def _claim(folder: Path) -> None:
    """The first process locks for itself alone, then all share the lock."""
    refusal = [None if get_rank() else _try_lock(folder, fcntl.LOCK_EX)]
    if refusal == [None] and not get_rank():
        refusal = [_try_lock(folder, fcntl.LOCK_SH)]
    broadcast_object_list(refusal)
    if refusal == [None] and get_rank():
        refusal = [_try_lock(folder, fcntl.LOCK_SH)]
    if refusal[0] is not None:
        raise ValueError(refusal[0])


def _try_lock(folder: Path, mode: int) -> str | None:
    """Lock a folder, or change the lock; return the reason if another run has it."""
    path = folder / _NAME
    while True:
        if folder not in _owned:
            _owned[folder] = _open(path)
        file = _owned[folder]
        try:
            # unlike flock, children of a process do not inherit it
            fcntl.lockf(file, mode | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _HELD:
                return _refusal(folder, os.read(file, 200).decode(errors="replace"))
            warnings.warn(
                f"Cannot lock '{path}' on this file system ({error.strerror}). Start no second run "
                "with this output.",
                stacklevel=4,
            )
        if _is_at(file, path):
            break
        os.close(_owned.pop(folder))  # its owner has just removed it
    if mode == fcntl.LOCK_EX:
        os.truncate(file, 0)
        os.write(file, f"process {os.getpid()} on {socket.gethostname()}".encode())
    return None


def _open(path: Path) -> int:
    """Open a lock file, and create its folder, which an ending owner may remove meanwhile."""
    folder = path.parent
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except (FileNotFoundError, FileExistsError):
            if folder.exists() and not folder.is_dir():
                raise


def _refusal(folder: Path, owner: str) -> str:
    return (
        f"Expected '{folder}' to belong to no other run, but {owner or 'another process'}, or "
        "another process of its run, still works on it. Wait until it has finished, end all its "
        "processes, or choose another output."
    )


def _is_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


def _disown(folder: Path) -> None:
    """Release the lock; the last process removes its file, and the folder if it is empty."""
    file = _owned.pop(folder, None)
    if file is None:
        return
    with suppress(OSError):
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_at(file, folder / _NAME):
            (folder / _NAME).unlink()
            folder.rmdir()
    os.close(file)
