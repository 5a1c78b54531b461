"""What the published code bases call PCK, by name."""

from __future__ import annotations

from dataclasses import dataclass

from .pck import LENGTHS, RESIZES
from .pck_averages import AVERAGES

_CHOICES = {
    "resize": RESIZES,
    "length": LENGTHS,
    "average": tuple(AVERAGES),
    "compared_in": ("source", "target"),
}


@dataclass(frozen=True, kw_only=True)
class PCKProtocol:
    """The choices that make two PCK comparable.

    Attributes:
        resize: "isotropic" (padded pictures, too) or "square", see :mod:`.pck`.
        length: "img", "bbox" or "keypoints", in the picture where points are compared.
        average: Key of :data:`~.pck_averages.AVERAGES`.
        compared_in: Picture that key points are transferred to and compared in. "source" is for
            code that transfers those of the target back.
        strict: Whether an error of exactly the threshold is wrong (``<``) or correct (``<=``).

    Raises:
        ValueError: If a choice does not exist.
    """

    resize: str = "isotropic"
    length: str = "img"
    average: str = "pairs"
    compared_in: str = "target"
    strict: bool = False

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            check_choice(name, getattr(self, name), choices)


def check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Check an argument that is one of a few words.

    Raises:
        ValueError: If it is none of them.
    """
    if value not in choices:
        raise ValueError(f"Expected `{name}` to be one of {choices}, but got {value!r}.")


PROTOCOLS: dict[str, PCKProtocol] = {
    # Long side 300. The paper's own PF-PASCAL numbers, too.
    "scot": PCKProtocol(),
    # Squashed to 240 x 240.
    "dhpf": PCKProtocol(resize="square"),
    # Points rescaled to 224 x 224 (its procedure `scnet`); target points are warped to the source.
    "ncnet": PCKProtocol(resize="square", compared_in="source"),
    # Its procedure `pf`: original pixels, extent of the source key points.
    "ncnet_pf": PCKProtocol(length="keypoints", compared_in="source"),
    # Squashed to 256 x 256.
    "cats": PCKProtocol(resize="square", compared_in="source"),
    # Padded to a square; its "weighted" mean.
    "sd_dino": PCKProtocol(average="classes_by_pairs", strict=True),
    # Padded to a square; average="points" is its flag KPT_RESULT.
    "geoaware": PCKProtocol(strict=True),
    # Original size, SPair-71k. It prints average="points" as well.
    "dift": PCKProtocol(length="bbox"),
}
"""Protocols of PF-PASCAL, except for ``dift``, which has none. On SPair-71k all of them use
``length="bbox"``; on PF-WILLOW what they call bbox is ``length="keypoints"``."""
