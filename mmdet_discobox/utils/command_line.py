"""Error handling and results of the command line tools."""

from __future__ import annotations

import errno
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from .files import is_stream

#: errors of a write for which there is no room: the system names no file with them
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def run(main: Callable[[], int | None], *, interrupted: str = "Interrupted.") -> NoReturn:
    """Run a command and exit; report invalid input without a traceback, with exit status 1.

    Hides the warning that mmengine's use of ``pkg_resources`` causes, which no user can act on.

    Args:
        main: the command; returns the exit status, or None for success.
        interrupted: what to print after Ctrl-C, which ends with exit status 130.
    """
    warnings.filterwarnings("ignore", message=r".*\bpkg_resources\b")
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.stderr.write(f"{interrupted}\n")
        sys.exit(130)  # as shells have it
    except (ValueError, TypeError, ImportError, OSError) as error:
        sys.exit(f"error: {error}{_advice(error)}")


def _advice(error: Exception) -> str:
    if not (isinstance(error, OSError) and error.errno in _NO_ROOM):
        return ""
    return ". The output could not be written whole: make room, and run the same command."


def prepare_result(path: Path, name: str) -> None:
    """Create the folder of a result, before the minutes of computing it.

    Args:
        path: file to be written.
        name: what the user knows it by, such as ``--out``.

    Raises:
        OSError: if ``path`` is a folder, or its own folder cannot be created or written to.
    """
    if is_stream(path):  # no file is created beside it
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        raise IsADirectoryError(
            f"Expected {name} to name a file, but '{path}' is a folder. Pass a file in it."
        )
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(
            f"Expected {name} in a folder that can be written to, but '{path.parent}' cannot."
        )
