"""Helpers for precision and devices: autocast off, and constants without a synchronisation."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def without_autocast(tensor: Tensor) -> torch.autocast:
    """Return a context manager that disables autocast.

    Args:
        tensor: selects the device type; a meta tensor counts as one on the CPU.
    """
    return torch.autocast("cpu" if tensor.is_meta else tensor.device.type, enabled=False)


def constants_like(constants: Sequence[float], like: Tensor) -> Tensor:
    """Build a small constant tensor without a host-to-device copy, which would synchronise.

    The values are those of ``like.new_tensor(constants)``, but each is written by a fill kernel
    instead of a blocking copy from pageable memory.

    Args:
        constants: n numbers, at least one.
        like: tensor that gives the data type and the device.

    Returns:
        ``(n,)``.
    """
    return torch.stack([like.new_full((), constant) for constant in constants])
