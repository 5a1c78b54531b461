"""How the command lines of ``tools/`` end."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NoReturn


def run(main: Callable[[], int | None]) -> NoReturn:
    """Run a command and exit: bad input ends in its sentence and status 1, not in a traceback.

    Args:
        main: the command; returns the exit status, None for success.
    """
    try:
        sys.exit(main())
    except (ValueError, TypeError, ImportError, OSError) as error:
        sys.exit(f"error: {error}")
