"""A labeler that is built at its first use."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.registry import DefaultScope

from .auto_labeler import AutoLabeler

_FILES = {"config", "checkpoint"}
_OPTIONS = {"crop_size", "max_objects"}


class LazyLabeler:
    """Build an :class:`AutoLabeler` at its first use, on the device where it is used.

    Copies and pickles have the settings alone. Building changes neither random numbers nor the
    default scope of the caller: a validation between two epochs does not change the training.

    Args:
        settings: None for the weights in this package, ``"colours"`` for no network, or the
            ``config`` and ``checkpoint`` of a training, with ``crop_size`` and ``max_objects`` if
            they differ from the defaults.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: for other settings.
    """

    def __init__(self, settings: Mapping[str, Any] | str | None = None) -> None:
        if isinstance(settings, Mapping):
            if not _FILES <= settings.keys() <= _FILES | _OPTIONS:
                raise ValueError(
                    "Expected `labeler` to have the keys `config`, `checkpoint` and, if at all, "
                    f"`crop_size` and `max_objects`, but got {sorted(settings)}."
                )
            for key in sorted(_FILES):  # now, instead of after the first epoch of a training
                if not Path(settings[key]).is_file():
                    raise FileNotFoundError(
                        f"Expected the file of `labeler.{key}` at '{settings[key]}', but there is "
                        "no such file."
                    )
            settings = dict(settings)
        elif settings not in (None, "colours"):
            raise ValueError(
                "Expected `labeler` to be None, 'colours' or dict(config=..., checkpoint=...) but "
                f"got {settings!r}."
            )
        self.settings = settings
        self._built: tuple[torch.device, AutoLabeler] | None = None

    def on(self, device: torch.device) -> AutoLabeler:
        """Return the labeler on a device; another device builds it again."""
        if self._built is None or self._built[0] != device:
            self._built = None  # frees the memory first
            scope = DefaultScope.overwrite_default_scope("mmdet")
            with scope, torch.random.fork_rng(devices=[]):  # the network is built on the CPU
                self._built = (device, self._build(str(device)))
        return self._built[1]

    def _build(self, device: str) -> AutoLabeler:
        if isinstance(self.settings, Mapping):
            return AutoLabeler.from_files(**self.settings, device=device)
        if self.settings is None:
            return AutoLabeler.shipped(device=device)
        return AutoLabeler(device=device)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_built": None}
