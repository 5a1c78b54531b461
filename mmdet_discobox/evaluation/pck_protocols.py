"""PCK protocols of published code, by name."""

from __future__ import annotations

from dataclasses import dataclass

from .pck import AVERAGES, LENGTHS, RESIZES

_CHOICES = {
    "resize": RESIZES,
    "length": LENGTHS,
    "average": tuple(AVERAGES),
    "compared_in": ("source", "target"),
}


@dataclass(frozen=True, kw_only=True)
class PCKProtocol:
    """Settings of a PCK; two PCK are comparable only with equal settings.

    Attributes:
        resize: "isotropic" (also for padded images) or "square", see :mod:`.pck`.
        length: "img", "bbox" or "keypoints", in the image where points are compared.
        average: key of :data:`~.pck.AVERAGES`.
        compared_in: image to which key points are transferred and where they are compared;
            "source" for code that transfers the target's points to the source.
        strict: whether an error equal to the threshold is wrong (``<``) or correct (``<=``).

    Raises:
        ValueError: if a setting is not one of its choices.
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
    """Check that an argument is one of its choices.

    Raises:
        ValueError: if it is not.
    """
    if value not in choices:
        raise ValueError(f"Expected `{name}` to be one of {choices}, but got {value!r}.")


PROTOCOLS: dict[str, PCKProtocol] = {
    # Long side 300. Also the protocol of the paper on PF-PASCAL.
    "scot": PCKProtocol(),
    # Squashed to 240 x 240.
    "dhpf": PCKProtocol(resize="square"),
    # Rescaled to 224 x 224 (procedure `scnet`); target points are warped to the source.
    "ncnet": PCKProtocol(resize="square", compared_in="source"),
    # Procedure `pf`: original pixels, extent of the source key points.
    "ncnet_pf": PCKProtocol(length="keypoints", compared_in="source"),
    # Squashed to 256 x 256.
    "cats": PCKProtocol(resize="square", compared_in="source"),
    # Padded to a square; the "weighted" mean.
    "sd_dino": PCKProtocol(average="classes_by_pairs", strict=True),
    # Padded to a square; average="points" corresponds to the flag KPT_RESULT.
    "geoaware": PCKProtocol(strict=True),
    # Original size, SPair-71k. The code also prints average="points".
    "dift": PCKProtocol(length="bbox"),
}
"""Protocols on PF-PASCAL, except ``dift``, which does not use it. On SPair-71k all use
``length="bbox"``; on PF-WILLOW their "bbox" is ``length="keypoints"``."""
