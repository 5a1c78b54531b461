"""Error handling of the command line tools."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NoReturn


def run(main: Callable[[], int | None]) -> NoReturn:
    """Run a command and exit; report invalid input without a traceback, with exit status 1.

    Args:
        main: the command; returns the exit status, or None for success.
    """
    try:
        sys.exit(main())
    except (ValueError, TypeError, ImportError, OSError) as error:
        sys.exit(f"error: {error}")
