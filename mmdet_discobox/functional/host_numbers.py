"""Numbers that the host knows, as tensors of the device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def numbers_like(numbers: Sequence[float], like: Tensor) -> Tensor:
    """Make a vector of a few numbers by fills, for which nobody waits.

    ``like.new_tensor(numbers)`` has the same values, but on a GPU it is a copy from pageable
    memory, which waits until the device has done all that was asked of it before.

    Args:
        numbers: n numbers, at least one.
        like: whose type and device the vector has.

    Returns:
        ``(n,)``.
    """
    return torch.stack([like.new_full((), number) for number in numbers])
