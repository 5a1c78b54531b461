"""Configs of a study, and the annotations that they name."""

from __future__ import annotations

import copy
import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config


def read_config(path: Path) -> Config:
    """A config of one's own; each is parsed once, for most rows and all seeds share it."""
    return copy.deepcopy(_parsed(path, os.environ.get("DISCOBOX_DATA")))


@functools.cache
def _parsed(path: Path, data: str | None) -> Config:
    """Parse a config; `data` is here because the configs read it from the environment."""
    return Config.fromfile(path)


def boxes_and_pictures(config: Config) -> tuple[Path, Path]:
    """The json file and the folder of pictures that a config trains on."""
    data = config.train_dataloader.dataset
    root = Path(data.get("data_root") or "")
    return root / data.ann_file, root / data.data_prefix.img


def annotations(config: Config) -> set[Path]:
    """The json files that `mim train` and `mim test` read, wrapped data sets included."""
    parts = (config.get(key) for key in ("train_dataloader", "test_dataloader", "test_evaluator"))
    return {path for part in parts for path in _annotations(part)}


def _annotations(part: Any) -> Iterator[Path]:
    if isinstance(part, dict):
        if part.get("ann_file"):
            yield Path(part.get("data_root") or "", part["ann_file"])
        part = list(part.values())
    for each in part if isinstance(part, (list, tuple)) else ():
        yield from _annotations(each)
