"""Procedural textures: a scalar pattern in [0, 1] that mixes two colours.

Objects, clutter and backgrounds share the patterns, which therefore do not reveal the objects.
Patterns are functions of rotated pixel coordinates with a period in pixels, and have soft edges,
which avoids aliasing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .palettes import Color, lab_to_rgb

Field = NDArray[np.floating[Any]]  # (H, W)


def noise(
    rng: np.random.Generator, shape: tuple[int, ...], cell: float, *, octaves: int = 3
) -> Field:
    """Draw smooth noise in about [-1, 1], shape (H, W); its coarsest grain is ``cell`` pixels."""
    height, width = shape
    field, amplitude = np.zeros(shape, np.float32), 0.6
    for octave in range(octaves):
        step = max(cell / 2**octave, 1.0)
        grid = rng.uniform(-1, 1, (int(height / step) + 2, int(width / step) + 2))
        grain = grid.astype(np.float32)
        field += amplitude * cv2.resize(grain, (width, height), interpolation=cv2.INTER_CUBIC)
        amplitude *= 0.55
    return field


def _soft(wave: Field, sharpness: float = 2.5) -> Field:
    return np.clip(0.5 + 0.5 * sharpness * wave, 0, 1)


def _stripes(rng: np.random.Generator, x: Field, y: Field, period: float) -> Field:
    return _soft(np.sin(2 * np.pi / period * x) - rng.uniform(-0.3, 0.3))


def _checks(rng: np.random.Generator, x: Field, y: Field, period: float) -> Field:
    return _soft(np.sin(np.pi / period * x) * np.sin(np.pi / period * y), 4.0)


def _cells(x: Field, y: Field, width: float, height: float) -> tuple[Field, Field]:
    """Return coordinates in [0, 1) within cells; every other row is shifted by half a cell."""
    row = np.floor(y / height)
    return (x / width + 0.5 * row) % 1, y / height - row


def _dots(rng: np.random.Generator, x: Field, y: Field, period: float) -> Field:
    u, v = _cells(x, y, period, period)
    return _soft((rng.uniform(0.24, 0.36) - np.hypot(u - 0.5, v - 0.5)) * period, 1.0)


def _scales(rng: np.random.Generator, x: Field, y: Field, period: float) -> Field:
    u, v = _cells(x, y, period, 0.5 * period)
    return np.clip(1.4 * np.hypot(u - 0.5, 0.6 * v), 0, 1)


def _bricks(rng: np.random.Generator, x: Field, y: Field, period: float) -> Field:
    width, height = 1.4 * period, 0.5 * period
    u, v = _cells(x, y, width, height)
    gap = np.minimum(np.minimum(u, 1 - u) * width, np.minimum(v, 1 - v) * height)
    return np.clip(gap - 0.3, 0, 1)


def _wood(rng: np.random.Generator, x: Field, y: Field, period: float) -> Field:
    warp = 0.8 * noise(rng, x.shape, 4 * period)
    return 0.5 + 0.5 * np.sin(2 * np.pi * (x / period + warp + 0.1 * y / period))


def _clouds(rng: np.random.Generator, x: Field, y: Field, period: float) -> Field:
    return _soft(noise(rng, x.shape, 2 * period, octaves=4), 1.6)


def _gradient(rng: np.random.Generator, x: Field, y: Field, period: float) -> Field:
    return (x - x.min()) / (np.ptp(x) + 1.0)


_PATTERNS: tuple[Callable[[np.random.Generator, Field, Field, float], Field], ...] = (
    _stripes,
    _checks,
    _dots,
    _scales,
    _bricks,
    _wood,
    _clouds,
    _gradient,
)


def texture(rng: np.random.Generator, x: Field, y: Field, colors: Color, *, period: float) -> Color:
    """Paint a random pattern.

    Args:
        rng: generator of all randomness.
        x: horizontal coordinate of each pixel, shape (H, W).
        y: vertical coordinate of each pixel, shape (H, W).
        colors: two colours to mix, CIE Lab, shape (2, 3).
        period: size of the pattern in pixels.

    Returns:
        RGB in [0, 1], shape (H, W, 3).
    """
    angle = rng.uniform(0, np.pi) if rng.random() < 0.5 else rng.choice([0, np.pi / 2])
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    draw = _PATTERNS[rng.integers(len(_PATTERNS))]
    share = draw(rng, cos * x + sin * y, cos * y - sin * x, period)[..., None]
    grain = 1 + 0.07 * noise(rng, x.shape, 12.0, octaves=4)[..., None]
    first, second = lab_to_rgb(colors)
    return np.asarray((first + share * (second - first)) * grain, dtype=np.float32)
