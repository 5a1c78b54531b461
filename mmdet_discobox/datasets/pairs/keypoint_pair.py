"""Records of an image pair with key points, shared by all readers of pairs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmdet_discobox.utils.images import image_size
from mmdet_discobox.utils.paths import require_paths

Size = tuple[int, int]  # width, height


@dataclass(frozen=True, eq=False)
class KeypointImage:
    """One image of a pair: an object with ``K`` key points.

    Coordinates are ``(x, y)`` in pixels of the file, 0-based and continuous: 0 is the centre of the
    first pixel, as in COCO. Readers subtract 1 from the points and boxes of MATLAB files. Add half
    a pixel for samplers whose image spans ``[0, width]``.

    Attributes:
        path: image file.
        points: ``(K, 2)`` float64; any value, including NaN, where not visible.
        visible: ``(K,)`` boolean.
        box: ``(4,)`` float64 ``(x1, y1, x2, y2)``, or None if the data set has no boxes.

    Raises:
        ValueError: if a shape is wrong, or a visible point is not finite.
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
                f"{self.points[self.visible].tolist()}. Mark absent key points as not visible."
            )
        if self.box is not None and self.box.shape != (4,):
            raise ValueError(
                f"Expected `box` of '{self.path}' to be (x1, y1, x2, y2), but got shape "
                f"{self.box.shape}."
            )

    @cached_property
    def size(self) -> Size:
        """Width and height in pixels of the image as it is loaded, read on first access."""
        require_paths([self.path], source="The key points are of this image: restore it.")
        return image_size(self.path)


@dataclass(frozen=True, eq=False)
class KeypointPair:
    """A source and a target image; key point ``k`` of both is the same part of the object.

    Attributes:
        pair_id: unique name of the pair in its data set.
        class_name: class of both objects.
        source: image that points are transferred from.
        target: image that points are transferred to.
        flip: whether to mirror both images left to right, as in the training rows of PF-PASCAL. The
            coordinates here are not mirrored; mirroring maps ``x`` to ``width - 1 - x``.

    Raises:
        ValueError: if source and target have different numbers of key points.
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
        """``(K,)`` boolean: the key point is visible in both images and counts."""
        return self.source.visible & self.target.visible

    def to_sample(self) -> dict[str, Any]:
        """Return the ground truth for :class:`~mmdet_discobox.evaluation.PCKMetric`.

        Returns:
            ``pair_id``, ``class_name``, ``visible`` and, prefixed with ``source`` and ``target``,
            ``_points`` ``(K, 2)``, ``_size`` (width, height) and ``_box`` ``(4,)`` or None. Reads
            the headers of both images.
        """
        return {
            "pair_id": self.pair_id,
            "class_name": self.class_name,
            "visible": self.visible,
            "source_points": self.source.points,
            "source_size": self.source.size,
            "source_box": self.source.box,
            "target_points": self.target.points,
            "target_size": self.target.size,
            "target_box": self.target.box,
        }
