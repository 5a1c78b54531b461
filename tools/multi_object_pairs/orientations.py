"""Rotations of objects and the angles between them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def rotations_from_viewpoints(
    azimuth: ArrayLike, elevation: ArrayLike, theta: ArrayLike
) -> NDArray[np.float64]:
    """Convert PASCAL 3D+ viewpoints: ``R = Rz(theta) Rx(elevation - 90) Rz(-azimuth)``.

    Args:
        azimuth: angle of the camera around the object in degrees, any shape.
        elevation: angle of the camera above the ground plane in degrees, same shape.
        theta: roll of the camera in degrees, same shape.

    Returns:
        ``(..., 3, 3)`` rotations from object to camera coordinates.
    """
    roll, tilt, turn = (
        np.radians(np.asarray(angle, np.float64))
        for angle in (theta, np.asarray(elevation, np.float64) - 90.0, azimuth)
    )
    return _about_z(roll) @ _about_x(tilt) @ _about_z(-turn)


def pairwise_angles(source: ArrayLike, target: ArrayLike) -> NDArray[np.float64]:
    """Compute the angle of the rotation between two orientations.

    The angle is ``arccos((trace(R1^T R2) - 1) / 2)``. A difference of azimuths is no substitute:
    seen from above, an azimuth and the opposite roll cancel.

    Args:
        source: ``(N, 3, 3)`` rotations.
        target: ``(M, 3, 3)`` rotations.

    Returns:
        ``(N, M)`` degrees from 0 to 180; NaN if either rotation is NaN.
    """
    first = np.asarray(source, np.float64).reshape(-1, 9)
    second = np.asarray(target, np.float64).reshape(-1, 9)
    cosines = (first @ second.T - 1.0) / 2.0  # (N, M), trace(R1^T R2) is the sum of R1 * R2
    angles: NDArray[np.float64] = np.degrees(np.arccos(np.clip(cosines, -1.0, 1.0)))
    return angles


def _about_z(angle: NDArray[np.float64]) -> NDArray[np.float64]:
    c, s, zero, one = _entries(angle)
    return _stack([[c, -s, zero], [s, c, zero], [zero, zero, one]])


def _about_x(angle: NDArray[np.float64]) -> NDArray[np.float64]:
    c, s, zero, one = _entries(angle)
    return _stack([[one, zero, zero], [zero, c, -s], [zero, s, c]])


def _entries(angle: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    return np.cos(angle), np.sin(angle), np.zeros_like(angle), np.ones_like(angle)


def _stack(rows: list[list[NDArray[np.float64]]]) -> NDArray[np.float64]:
    return np.stack([np.stack(row, -1) for row in rows], -2)
