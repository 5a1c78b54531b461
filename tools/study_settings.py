"""What all runs of a study share."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from study_files import Json, read_json, write_json


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
    """

    out: Path
    epochs: int | None = None
    batch: int | None = None
    bf16: bool = False
    gpus: int = 0
    options: Json = field(default_factory=dict)

    def check(self) -> None:
        """Keep runs of different lengths out of one table.

        Raises:
            ValueError: if the folder has runs with other settings.
        """
        wanted = dict(
            epochs=self.epochs, batch=self.batch, bf16=self.bf16, options=as_words(self.options)
        )
        present = read_json(self.out / "settings.json")
        if present not in (None, wanted):
            raise ValueError(
                f"Expected the settings of the runs that are in {self.out}, {present}, but got "
                f"{wanted}. Give the same --epochs, --batch, --bf16 and --cfg-options, or another "
                "--out."
            )
        write_json(self.out / "settings.json", wanted)


def as_words(options: Json) -> list[str]:
    """Options as `--cfg-options` takes them."""
    return [f"{key}={value}" for key, value in options.items()]
