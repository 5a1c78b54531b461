"""Let ``torch.load`` read mmengine's checkpoints without trusting them.

Since torch 2.6 ``torch.load`` unpickles with ``weights_only=True``: it builds tensors and plain
containers, and any other class or function only where it stands on an allow-list. The checkpoints
of mmengine 0.10 hold more than tensors: the message hub keeps its logged scalars in
:class:`~mmengine.logging.HistoryBuffer` objects around numpy arrays, and each of them is pickled
together with four of its own methods. So a checkpoint that mmengine has just written does not load,
and neither testing nor resuming works.

:func:`register_safe_globals` puts exactly what such a checkpoint names on torch's allow-list,
through its documented :func:`torch.serialization.add_safe_globals`. Everything else is refused as
before:

- ``HistoryBuffer``, and numpy's constructors of arrays, scalars and number types, under the module
  names of numpy 1 and of numpy 2 (a checkpoint keeps the names of the numpy that wrote it);
- ``builtins.getattr``, through which pickle writes the four methods, is **not** allowed: a file
  that may call it reaches any code of the process. :func:`history_buffer_getattr` stands in for it
  and hands out the four methods alone.

This holds for ``torch.load`` and for what calls it plainly, as stock mmengine does. The loader of
the maintained fork (``onedl-mmengine``) has a list of its own, ``getattr`` included, and reads what
``torch.load`` refuses once more, with ``weights_only=False``.
"""

from __future__ import annotations

from collections.abc import Callable
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from packaging.version import Version

_STATISTICS = ("min", "max", "current", "mean")
_NUMBER_TYPES = (np.float64, np.float32, np.int64, np.int32)
_NUMPY_MULTIARRAY = ("numpy.core.multiarray", "numpy._core.multiarray")


def history_buffer_getattr(*arguments: object) -> Callable[..., object]:
    """Stand in for ``getattr`` while a checkpoint is read, and serve four methods alone.

    Args:
        *arguments: What the pickle passes to ``getattr``: the owner and the name of the attribute.

    Returns:
        ``HistoryBuffer.min``, ``max``, ``current`` or ``mean``.

    Raises:
        UnpicklingError: If the pickle asks for anything else.
    """
    if len(arguments) == 2:
        owner, name = arguments
        if owner is HistoryBuffer and isinstance(name, str) and name in _STATISTICS:
            return getattr(HistoryBuffer, name)
    raise UnpicklingError(
        f"Expected the checkpoint to take no attributes but {', '.join(_STATISTICS)} of mmengine's "
        f"HistoryBuffer, but it asks for `getattr{arguments!r}`. mmengine writes no such "
        "checkpoint: get the file from somewhere you trust."
    )


def register_safe_globals() -> None:
    """Put what mmengine's checkpoints name on the allow-list of ``torch.load``.

    May be called repeatedly. Does nothing on torch < 2.6, which neither loads with
    ``weights_only=True`` by default nor lets a function stand in for another name.
    """
    if Version(torch.__version__).release < (2, 6):
        return
    # Each with its name: an entry without one is removed by whoever lists the same object for the
    # time of a single load, as the loader of the fork does.
    torch.serialization.add_safe_globals(
        [
            *((value, f"{value.__module__}.{value.__qualname__}") for value in _types()),
            *_numpy_constructors(),
            (history_buffer_getattr, "builtins.getattr"),
        ]
    )


def _types() -> list[type]:
    """List the classes in a checkpoint: histories, arrays and the number types that occur."""
    return [
        HistoryBuffer,
        np.ndarray,
        np.dtype,
        *(type(np.dtype(number)) for number in _NUMBER_TYPES),
    ]


def _numpy_constructors() -> list[tuple[Any, str]]:
    """List numpy's constructors of arrays and scalars, under all their names."""
    # A value names its own constructors in every numpy; their modules moved between 1 and 2.
    reconstruct: Any = np.zeros(0).__reduce__()[0]
    scalar: Any = np.float64(0).__reduce__()[0]
    return [
        (function, f"{module}.{name}")
        for module in _NUMPY_MULTIARRAY
        for function, name in ((reconstruct, "_reconstruct"), (scalar, "scalar"))
    ]
