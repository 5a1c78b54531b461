"""The record of all pair data sets: two pictures of a class and the key points they share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Size = tuple[int, int]  # width, height


def read_size(path: Path) -> Size:
    """Read width and height of a picture, in pixels, from its header."""
    with Image.open(path) as image:
        return image.size


@dataclass(frozen=True, eq=False)
class KeypointImage:
    """One picture of a pair: an object with ``K`` key points.

    Coordinates are ``(x, y)`` in pixels of the file, 0-based and continuous: 0 is the middle of
    the first pixel, as in COCO. What MATLAB wrote is 1-based and has 1 subtracted by the readers,
    points and boxes alike. A sampler whose pictures span ``[0, width]`` adds half a pixel.

    Attributes:
        path: File of the picture.
        points: ``(K, 2)`` float64; of any value, NaN too, where not visible.
        visible: ``(K,)`` boolean.
        box: ``(4,)`` float64 ``(x1, y1, x2, y2)``, or None where the set has no boxes.

    Raises:
        ValueError: If a shape is another, or a visible point is not finite.
    """

    path: Path
    points: NDArray[np.float64]
    visible: NDArray[np.bool_]
    box: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        K = len(self.visible)
        if self.points.shape != (K, 2) or self.visible.shape != (K,):
            raise ValueError(
                f"Expected `points` of shape (K, 2) and `visible` of shape (K,) for '{self.path}', "
                f"but got {self.points.shape} and {self.visible.shape}."
            )
        if not np.isfinite(self.points[self.visible]).all():
            raise ValueError(
                f"Expected the visible points of '{self.path}' to be finite, but got "
                f"{self.points[self.visible].tolist()}. A key point that is absent is not visible."
            )
        if self.box is not None and self.box.shape != (4,):
            raise ValueError(
                f"Expected `box` of '{self.path}' to be (x1, y1, x2, y2), but got shape "
                f"{self.box.shape}."
            )

    @cached_property
    def size(self) -> Size:
        """Width and height in pixels, read from the file's header when first asked for."""
        return read_size(self.path)


@dataclass(frozen=True, eq=False)
class KeypointPair:
    """A source and a target picture; key point ``k`` of both is the same part of the object.

    Attributes:
        pair_id: What tells the pair from the others of its set.
        class_name: Class of both objects.
        source: Picture the points are taken from.
        target: Picture they are transferred to.
        flip: Whether to mirror both pictures left to right, as the training rows of PF-PASCAL
            ask for. The record itself is not mirrored: ``x`` becomes ``width - 1 - x``.

    Raises:
        ValueError: If the two have different numbers of key points.
    """

    pair_id: str
    class_name: str
    source: KeypointImage
    target: KeypointImage
    flip: bool = False

    def __post_init__(self) -> None:
        if len(self.source.visible) != len(self.target.visible):
            raise ValueError(
                f"Expected as many source as target key points in pair '{self.pair_id}', but got "
                f"{len(self.source.visible)} and {len(self.target.visible)}."
            )

    @property
    def visible(self) -> NDArray[np.bool_]:
        """``(K,)``, the key points that count: those visible in both pictures."""
        return self.source.visible & self.target.visible

    def to_sample(self) -> dict[str, Any]:
        """Return what :class:`~mmdet_discobox.evaluation.PCKMetric` has to know of the pair.

        Returns:
            ``pair_id``, ``class_name``, ``visible`` and, for ``source`` and ``target``, ``_points``
            ``(K, 2)``, ``_size`` (width, height) and ``_box`` ``(4,)`` or None. The headers of the
            two pictures are read.
        """
        sides = {"source": self.source, "target": self.target}
        sample: dict[str, Any] = {
            "pair_id": self.pair_id,
            "class_name": self.class_name,
            "visible": self.visible,
        }
        for name, side in sides.items():
            sample[f"{name}_points"] = side.points
            sample[f"{name}_size"] = side.size
            sample[f"{name}_box"] = side.box
        return sample
