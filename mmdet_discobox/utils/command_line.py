"""Error handling of the command line tools."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from typing import NoReturn


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
        sys.exit(f"error: {error}")
