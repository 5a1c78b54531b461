"""Records of a shape: parts with materials, and named key points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .curves import Points


@dataclass(frozen=True)
class Part:
    """A filled outline (N, 2) and the name of its material."""

    material: str
    outline: Points


@dataclass(frozen=True)
class Shape:
    """Parts in painting order, and key points by name.

    Attributes:
        parts: parts from back to front. Parts of one material share a texture; ``'dark'`` and
            ``'light'`` have none.
        keypoints: semantic points, each of shape (2,), with the same names in the same order for
            all shapes of a class.
        symmetric: whether a mirror image would exchange the names "left" and "right"; such shapes
            are never flipped.
    """

    parts: tuple[Part, ...]
    keypoints: dict[str, Points]
    symmetric: bool = False

    def warp(self, homography: NDArray[np.float64]) -> Shape:
        """Map the shape by a 3x3 homography."""
        return Shape(
            tuple(Part(part.material, _project(part.outline, homography)) for part in self.parts),
            {name: _project(point, homography) for name, point in self.keypoints.items()},
            self.symmetric,
        )

    @property
    def outlines(self) -> list[Points]:
        """Outlines of the parts, whose union is the silhouette."""
        return [part.outline for part in self.parts]

    @property
    def bounds(self) -> tuple[Points, Points]:
        """Smallest and largest corner of the silhouette, each of shape (2,)."""
        vertices = np.concatenate(self.outlines)
        return vertices.min(axis=0), vertices.max(axis=0)


def _project(curve: Points, homography: NDArray[np.float64]) -> Points:
    projected = np.asarray(curve) @ homography[:, :2].T + homography[:, 2]
    return projected[..., :2] / projected[..., 2:]
