"""The ``pickle_module`` of ``torch.load`` for checkpoints, on a torch without a usable allow-list.

Before 2.6 torch's own safe loader (``weights_only=True``) cannot be told about the classes in
checkpoints of mmengine. This module restricts the names that a file may use instead, as the
documentation of :mod:`pickle` shows ("Restricting Globals"): to the parts of tensors, and to
:data:`~.safe_globals.SAFE_GLOBALS`. Nothing else is imported or called. ::

    torch.load(path, weights_only=False, pickle_module=restricted_pickle)
"""

from __future__ import annotations

import codecs
import pickle
from collections import OrderedDict
from typing import IO, Any

import torch

from .safe_globals import SAFE_GLOBALS

#: of which tensors, and bytes of numpy, are made. Storages are torch's part, without this module
_TORCH_GLOBALS: dict[str, Any] = {
    "_codecs.encode": codecs.encode,
    "collections.OrderedDict": OrderedDict,
    "torch.Size": torch.Size,
    "torch._utils._rebuild_parameter": torch._utils._rebuild_parameter,
    "torch._utils._rebuild_tensor": torch._utils._rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": torch._utils._rebuild_tensor_v2,
    "torch.device": torch.device,
}


class Unpickler(pickle.Unpickler):
    """Read a pickle that uses the listed names alone."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for a name.

        Raises:
            UnpicklingError: for any other name.
        """
        # pickles of protocol 2, torch's default, have Python 2's name of the module
        full_name = f"{'builtins' if module == '__builtin__' else module}.{name}"
        for allowed in (SAFE_GLOBALS, _TORCH_GLOBALS):
            if full_name in allowed:
                return allowed[full_name]
        if module == "torch" and isinstance(getattr(torch, name, None), torch.dtype):
            return getattr(torch, name)
        raise pickle.UnpicklingError(
            f"Unsupported global: the file uses `{full_name}`, which is neither a tensor nor part "
            "of a checkpoint of mmengine."
        )


def load(file: IO[bytes], **options: Any) -> Any:
    """Read one pickle; ``options`` are those of :class:`pickle.Unpickler`."""
    return Unpickler(file, **options).load()
