"""Allow ``torch.load`` to read mmengine's checkpoints with ``weights_only=True``.

Since torch 2.6 ``torch.load`` unpickles with ``weights_only=True``, which allows tensors, plain
containers and an allow-list of other classes and functions. Checkpoints of mmengine 0.10 contain
more: the message hub stores logged scalars in :class:`~mmengine.logging.HistoryBuffer` objects with
numpy arrays, pickled together with four of their methods. Without an allow-list mmengine cannot
load its own checkpoints, neither for testing nor for resuming.

:func:`register_safe_globals` adds exactly the names in such checkpoints to torch's allow-list, by
the documented :func:`torch.serialization.add_safe_globals`. Everything else is still refused:

- under the names of ``HistoryBuffer`` and of numpy's arrays, scalars and dtypes, the checked ones
  of :mod:`.safe_arrays`, because numpy believes shapes, offsets and strides in a file. The module
  names are those of numpy 1 and numpy 2 (a checkpoint contains those of the numpy that wrote it);
- ``builtins.getattr``, by which pickle stores the four methods, is **not** allowed, because it
  gives a file access to any code of the process. :func:`history_buffer_getattr` replaces it and
  returns only the four methods.

This applies to ``torch.load`` and its direct callers, such as stock mmengine. The loader of the
maintained fork (``onedl-mmengine``) uses its own allow-list, including ``getattr``, and loads files
that ``torch.load`` refuses again with ``weights_only=False``.
"""

from __future__ import annotations

from collections.abc import Callable
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from packaging.version import Version

from .safe_arrays import (
    NUMBERS,
    CheckedArray,
    CheckedDtype,
    CheckedHistory,
    checked_scalar,
    reconstruct_array,
)

_STATISTICS = ("min", "max", "current", "mean")
_DTYPES = tuple(type(np.dtype(number)) for number in NUMBERS)
_NUMPY_MULTIARRAY = ("numpy.core.multiarray", "numpy._core.multiarray")


def history_buffer_getattr(*arguments: object) -> Callable[..., object]:
    """Replace ``getattr`` while a checkpoint is loaded; only four methods are allowed.

    Args:
        *arguments: arguments of ``getattr`` in the pickle: the owner and the attribute name.

    Returns:
        ``HistoryBuffer.min``, ``max``, ``current`` or ``mean``.

    Raises:
        UnpicklingError: if the pickle requests any other attribute.
    """
    if len(arguments) == 2:
        owner, name = arguments
        ours = owner is CheckedHistory or owner is HistoryBuffer
        if ours and isinstance(name, str) and name in _STATISTICS:
            return getattr(HistoryBuffer, name)
    raise UnpicklingError(
        f"Expected the checkpoint to request only the attributes {', '.join(_STATISTICS)} of "
        f"mmengine's HistoryBuffer, but got `getattr{arguments!r}`. mmengine does not write such "
        "checkpoints: download the file from a trusted source."
    )


#: what stands for each name in a checkpoint of mmengine, written with numpy 1 or 2
SAFE_GLOBALS: dict[str, Any] = {
    f"{HistoryBuffer.__module__}.{HistoryBuffer.__qualname__}": CheckedHistory,
    "builtins.getattr": history_buffer_getattr,
    "numpy.ndarray": CheckedArray,
    "numpy.dtype": CheckedDtype,
    **{f"{module}._reconstruct": reconstruct_array for module in _NUMPY_MULTIARRAY},
    **{f"{module}.scalar": checked_scalar for module in _NUMPY_MULTIARRAY},
}


def register_safe_globals() -> None:
    """Add the names in mmengine's checkpoints to the allow-list of ``torch.load``.

    Idempotent. Does nothing on torch < 2.6, which neither defaults to ``weights_only=True`` nor
    supports a function under another name.
    """
    if Version(torch.__version__).release < (2, 6):
        return
    # Beside a list with numpy's own classes, such as the fork's, states are built on these. No file
    # can name them: a name in a pickle ends at the first line break.
    states: tuple[type, ...] = (CheckedArray, CheckedDtype, CheckedHistory, *_DTYPES)
    # Entries have names, because the fork's loader removes equal entries after each load.
    torch.serialization.add_safe_globals(
        [
            *((value, name) for name, value in SAFE_GLOBALS.items()),
            *((kind, f"\n{kind.__name__}") for kind in states),
        ]
    )
