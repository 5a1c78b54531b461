"""Where products stay in the precision of their factors."""

from __future__ import annotations

import torch
from torch import Tensor


def without_autocast(tensor: Tensor) -> torch.autocast:
    """Context in which a training in mixed precision does not round products to 16 bits.

    Args:
        tensor: on whose device it holds.
    """
    # a meta tensor has a shape and no values: there is no autocast to switch off
    return torch.autocast("cpu" if tensor.is_meta else tensor.device.type, enabled=False)
