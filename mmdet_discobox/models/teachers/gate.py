"""Switch of a loss or term, stored in checkpoints."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn as nn
from torch import Tensor


class Gate(nn.Module):
    """Switch a loss or term on and off during training.

    The state is a buffer, so it is saved, loaded and broadcast with the model. A copy on the host
    makes :attr:`is_open` free of a synchronisation.

    Args:
        is_open: initial state.
    """

    opened: Tensor

    def __init__(self, is_open: bool) -> None:
        super().__init__()
        self.register_buffer("opened", torch.tensor(is_open))
        self._is_open = is_open

    @property
    def is_open(self) -> bool:
        """Whether the gate is open."""
        return self._is_open

    def set(self, is_open: bool) -> None:
        """Open or close the gate."""
        self.opened.fill_(is_open)
        self._is_open = is_open

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._is_open = bool(self.opened)
