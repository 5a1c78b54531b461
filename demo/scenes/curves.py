"""Plane curves as arrays of points, from which the shapes are built.

Every curve is a float array of shape (N, 2) with x to the right and y **down**, as in images.
Outlines are closed implicitly: the last point joins the first. Angles are degrees, clockwise on
the screen (because y points down).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Points = NDArray[np.float64]


def point(x: float, y: float) -> Points:
    """Return a single point, shape (2,)."""
    return np.array([x, y], dtype=np.float64)


def polygon(*vertices: ArrayLike) -> Points:
    """Stack vertices ``(x, y)`` to an array of shape (N, 2)."""
    return np.array(vertices, dtype=np.float64)


def ellipse(
    center: ArrayLike, radii: ArrayLike, start: float = 0.0, stop: float = 360.0, *, num: int = 48
) -> Points:
    """Sample an elliptic arc from angle ``start`` to ``stop`` (degrees), shape (num, 2)."""
    angles = np.radians(np.linspace(start, stop, num))
    unit = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return np.asarray(center) + np.asarray(radii) * unit


def smooth(vertices: ArrayLike, *, closed: bool = False, num: int = 12) -> Points:
    """Sample a Catmull-Rom spline through all vertices.

    Args:
        vertices: control points of shape (N, 2).
        closed: whether the curve returns to its first vertex.
        num: samples between two neighbouring vertices.

    Returns:
        Curve of shape (N * num, 2) if closed, otherwise ((N - 1) * num + 1, 2).
    """
    knots = np.asarray(vertices, dtype=np.float64)
    if closed:
        knots = np.concatenate([knots[-1:], knots, knots[:2]])
    else:  # mirrored ends are the neighbours of the first and last segment
        knots = np.concatenate([2 * knots[:1] - knots[1:2], knots, 2 * knots[-1:] - knots[-2:-1]])
    before, start, stop, after = (knots[i : len(knots) - 3 + i, None] for i in range(4))
    t = np.linspace(0, 1, num, endpoint=False)[:, None]
    cubic = 3 * (start - stop) + after - before
    quadratic = 2 * before - 5 * start + 4 * stop - after
    curve = start + 0.5 * t * (stop - before + t * (quadratic + t * cubic))  # (segments, num, 2)
    curve = curve.reshape(-1, 2)
    return curve if closed else np.concatenate([curve, knots[-2:-1]])


def stroke(curve: Points, width: ArrayLike) -> Points:
    """Compute the outline of a band along an open curve, shape (2 * N, 2).

    Args:
        curve: centre line of shape (N, 2), N >= 2.
        width: full width: one number, or several that are interpolated along the curve (a taper).
    """
    tangent = np.gradient(curve, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True) + 1e-12
    taper = np.atleast_1d(np.asarray(width, dtype=np.float64))
    knots = np.linspace(0, 1, len(taper))
    half = 0.5 * np.interp(np.linspace(0, 1, len(curve)), knots, taper)
    offset = half[:, None] * np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)
    return np.concatenate([curve + offset, (curve - offset)[::-1]])


def rotate(curve: ArrayLike, degrees: float, center: ArrayLike = (0.0, 0.0)) -> Points:
    """Rotate points of shape (N, 2) or (2,) about ``center``, clockwise on the screen."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return (np.asarray(curve) - center) @ np.array([[cos, sin], [-sin, cos]]) + center
