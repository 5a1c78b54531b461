"""The ``pickle_module`` of ``torch.load`` for checkpoints, on a torch without a usable allow-list.

Before 2.6 torch's own safe loader (``weights_only=True``) cannot be told about the classes in
checkpoints of mmengine. This module restricts the names that a file may use instead, as the
documentation of :mod:`pickle` shows ("Restricting Globals"): to the parts of dense tensors, and to
:data:`~.safe_globals.SAFE_GLOBALS`. Nothing else is imported or called, and the state of a pickle
reaches no function. ::

    torch.load(path, weights_only=False, pickle_module=restricted_pickle)

torch reads programs (TorchScript) and tar archives by other ways: see :func:`check_kind`.
"""

from __future__ import annotations

import codecs
import pickle
import tarfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, NoReturn

import torch

from .safe_globals import SAFE_GLOBALS, history_buffer_getattr


class _Function:
    """A function that a pickle can call, but not change."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)

    def __setstate__(self, state: object) -> NoReturn:
        raise pickle.UnpicklingError("The file changes a function by which it is read.")


def _statistic(*arguments: object) -> str:
    """Return the name of a statistic, where a checkpoint has its function: nothing can call it."""
    return history_buffer_getattr(*arguments).__name__


#: of which dense tensors, and bytes of numpy, are made. Storages are torch's part
_TORCH_GLOBALS: dict[str, Any] = {
    "_codecs.encode": codecs.encode,
    "builtins.getattr": _statistic,
    "collections.OrderedDict": OrderedDict,
    "torch.Size": torch.Size,
    "torch._utils._rebuild_parameter": torch._utils._rebuild_parameter,
    "torch._utils._rebuild_tensor": torch._utils._rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": torch._utils._rebuild_tensor_v2,
    "torch.device": torch.device,
}
_ALLOWED = {
    name: value if isinstance(value, type) else _Function(value)
    for name, value in {**SAFE_GLOBALS, **_TORCH_GLOBALS}.items()
}


class Unpickler(pickle.Unpickler):
    """Read a pickle that uses the listed names alone."""

    def __setattr__(self, name: str, value: Any) -> None:
        """Restrict the objects that torch stores beside the pickle to storages of tensors."""
        super().__setattr__(name, _storages(value) if name == "persistent_load" else value)

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for a name.

        Raises:
            UnpicklingError: for any other name.
        """
        # pickles of protocol 2, torch's default, have Python 2's name of the module
        full_name = f"{'builtins' if module == '__builtin__' else module}.{name}"
        if full_name in _ALLOWED:
            return _ALLOWED[full_name]
        if module == "torch" and isinstance(getattr(torch, name, None), torch.dtype):
            return getattr(torch, name)
        raise pickle.UnpicklingError(
            f"Unsupported global: the file uses `{full_name}`, which is neither part of a dense "
            "tensor nor of a checkpoint of mmengine."
        )


def _storages(load_stored: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def load_storage(key: Any) -> Any:
        if not isinstance(key, tuple) or not key or key[0] not in ("storage", b"storage"):
            raise pickle.UnpicklingError(f"Expected a storage of a tensor but got {key!r}.")
        return load_stored(key)

    return load_storage


def load(file: IO[bytes], **options: Any) -> Any:
    """Read one pickle; ``options`` are those of :class:`pickle.Unpickler`."""
    return Unpickler(file, **options).load()


def check_kind(path: str | Path) -> None:
    """Check that ``torch.load`` reads a file by this module alone.

    Raises:
        UnpicklingError: for a program of TorchScript, which it would run, and for a tar archive of
            torch 0.1, which it would unpack.
    """
    try:
        records = torch._C.PyTorchFileReader(str(path)).get_all_records()  # as it finds them itself
    except RuntimeError:  # no zip
        records = []
    if "constants.pkl" in records:
        raise pickle.UnpicklingError("it is a program of TorchScript.")
    if tarfile.is_tarfile(path):
        raise pickle.UnpicklingError("it is a tar archive of torch 0.1.")
