"""Settings that all runs of a study share, and the configs of the runs."""

from __future__ import annotations

import copy
import functools
import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmdet_discobox.utils.files import write_json
from mmdet_discobox.utils.types import Json
from study_files import locked, read_json

FILE = "settings.json"


@dataclass(frozen=True)
class Settings:
    """Settings of a study.

    Attributes:
        out: folder of the results.
        epochs: epochs of a training; None uses those of each config.
        batch: images per step, to which the learning rate is scaled; None uses those of each
            config.
        bf16: whether to train in bfloat16.
        gpus: 0 or 1.
        options: further keys of the configs.
        data: folder of the photographs. It may move: they are identified by digests of their json
            files.
    """

    out: Path
    epochs: int | None = None
    batch: int | None = None
    bf16: bool = False
    gpus: int = 0
    options: Json = field(default_factory=dict)
    data: Path | None = None

    def check(self, files: Iterable[Path] = (), *, detectors: bool = True) -> None:
        """Check that the folder has no runs with other settings or photographs.

        Args:
            files: json files that the runs read. `mim` reports those that do not exist.
            detectors: whether the runs train detectors; the settings are theirs alone.

        Raises:
            ValueError: if the folder has runs with other settings, or of other photographs.
        """
        expected = dict(
            epochs=self.epochs,
            batch=self.batch,
            bf16=self.bf16,
            options=sorted(as_words(self.options)),
        )
        existing = sorted(path for path in set(files) if path.is_file())
        digests = {self._name(path): _digest(path) for path in existing}
        self.out.mkdir(parents=True, exist_ok=True)
        with locked(self.out / "settings.lock", wait=True):  # two first calls may differ
            present = read_json(self.out / FILE) or {}
            known = present.pop("data", {})  # alone, as long as there are no detectors
            if detectors and present not in ({}, expected):
                raise ValueError(
                    f"Expected the settings of the runs in {self.out}, {present}, but got "
                    f"{expected}. Use the same --epochs, --batch, --bf16 and --cfg-options, or "
                    "another --out."
                )
            common = sorted(known.keys() & digests.keys())
            if other := [name for name in common if known[name] != digests[name]]:
                raise ValueError(
                    f"Expected the photographs of the runs in {self.out}, but {', '.join(other)} "
                    f"in {self.data} differ. Use the same data, or another --out."
                )
            kept = expected if detectors else present
            write_json(self.out / FILE, {**kept, "data": {**known, **digests}}, indent=1)

    def _name(self, path: Path) -> str:
        inside = self.data is not None and path.is_relative_to(self.data)
        return (path.relative_to(self.data) if inside else path).as_posix()


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def as_words(options: Json) -> list[str]:
    """Format options for `--cfg-options`."""
    return [f"{key}={value}" for key, value in options.items()]


def read_config(path: Path) -> Config:
    """Return a copy of a config; each config is parsed once, as most runs share it."""
    return copy.deepcopy(_parsed(path, os.environ.get("DISCOBOX_DATA")))


@functools.cache
def _parsed(path: Path, data: str | None) -> Config:
    """Parse a config; `data` is part of the key, as configs read it from the environment."""
    return Config.fromfile(path)


def boxes_and_images(config: Config) -> tuple[Path, Path]:
    """Return the json file and the folder of images of the training data."""
    data = config.train_dataloader.dataset
    root = Path(data.get("data_root") or "")
    return root / data.ann_file, root / data.data_prefix.img


def annotations(config: Config) -> set[Path]:
    """Return the json files that training and test read, also those of wrapped data sets."""
    parts = (config.get(key) for key in ("train_dataloader", "test_dataloader", "test_evaluator"))
    return {path for part in parts for path in _annotations(part)}


def _annotations(part: Any) -> Iterator[Path]:
    if isinstance(part, dict):
        if part.get("ann_file"):
            yield Path(part.get("data_root") or "", part["ann_file"])
        part = list(part.values())
    for each in part if isinstance(part, (list, tuple)) else ():
        yield from _annotations(each)
