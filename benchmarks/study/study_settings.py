"""What all runs of a study share."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from mmdet_discobox.utils.files import write_json
from mmdet_discobox.utils.types import Json
from study_files import locked, read_json

FILE = "settings.json"


@dataclass(frozen=True)
class Settings:
    """What all runs of a study share.

    Attributes:
        out: folder of the results.
        epochs: of a training; None leaves each config's.
        batch: images of a step, with the learning rate scaled to it; None leaves each config's.
        bf16: whether to train in bfloat16.
        gpus: 0 or 1.
        options: further keys of the configs.
        data: folder of the photographs. It may move: they are known by what their json files hold.
    """

    out: Path
    epochs: int | None = None
    batch: int | None = None
    bf16: bool = False
    gpus: int = 0
    options: Json = field(default_factory=dict)
    data: Path | None = None

    def check(self, files: Iterable[Path] = ()) -> None:
        """Keep runs of different lengths or photographs out of one table.

        Args:
            files: the json files that the runs read. Of one that is absent `mim` tells.

        Raises:
            ValueError: if the folder has runs with other settings, or from other photographs.
        """
        wanted = dict(
            epochs=self.epochs,
            batch=self.batch,
            bf16=self.bf16,
            options=sorted(as_words(self.options)),
        )
        there = sorted(path for path in set(files) if path.is_file())
        digests = {self._name(path): _digest(path) for path in there}
        self.out.mkdir(parents=True, exist_ok=True)
        with locked(self.out / "settings.lock", wait=True):  # two first calls may differ
            present = read_json(self.out / FILE) or wanted
            # those of earlier code have no digests, and options as they were given
            known = present.get("data", {})
            present = {key: value for key, value in present.items() if key != "data"}
            present["options"] = sorted(present.get("options", []))
            if present != wanted:
                raise ValueError(
                    f"Expected the settings of the runs that are in {self.out}, {present}, but got "
                    f"{wanted}. Give the same --epochs, --batch, --bf16 and --cfg-options, or "
                    "another --out."
                )
            common = sorted(known.keys() & digests.keys())
            if other := [name for name in common if known[name] != digests[name]]:
                raise ValueError(
                    f"Expected the photographs of the runs that are in {self.out}, but got others: "
                    f"{', '.join(other)} in {self.data} differ. Give the same --data, or another "
                    "--out."
                )
            write_json(self.out / FILE, {**wanted, "data": {**known, **digests}}, indent=1)

    def _name(self, path: Path) -> str:
        inside = self.data is not None and path.is_relative_to(self.data)
        return (path.relative_to(self.data) if inside else path).as_posix()


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def as_words(options: Json) -> list[str]:
    """Options as `--cfg-options` takes them."""
    return [f"{key}={value}" for key, value in options.items()]
