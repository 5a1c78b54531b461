"""A switch of the training schedule that survives a checkpoint."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn as nn
from torch import Tensor


class Gate(nn.Module):
    """Whether a part of the training has started.

    The state is a buffer, so that it is saved, resumed and broadcast with the model; a Python
    mirror of it answers :attr:`is_open` without waiting for the device.

    Args:
        is_open: the state to begin with.
    """

    opened: Tensor

    def __init__(self, is_open: bool) -> None:
        super().__init__()
        self.register_buffer("opened", torch.tensor(is_open))
        self._is_open = is_open

    @property
    def is_open(self) -> bool:
        """The state, without a host synchronisation."""
        return self._is_open

    def set(self, is_open: bool) -> None:
        """Open or close the gate."""
        self.opened.fill_(is_open)
        self._is_open = is_open

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._is_open = bool(self.opened)
