"""Colours that go together: one palette per scene, for objects, clutter and background alike."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Color = NDArray[np.floating[Any]]  # (..., 3): CIE Lab, or RGB in [0, 1]


def draw_palette(rng: np.random.Generator, *, num_colors: int = 9) -> Color:
    """Colours of three related hues and many lightnesses; CIE Lab, shape (num_colors, 3)."""
    accents = [0, rng.uniform(25, 60), 180 + rng.uniform(-40, 40)]
    hues = rng.uniform(0, 360) + rng.choice(accents, num_colors) + rng.normal(0, 8, num_colors)
    lightness = rng.permutation(np.linspace(28, 90, num_colors)) + rng.normal(0, 3, num_colors)
    # Very light and very dark colours cannot be vivid: more chroma would leave the gamut.
    chroma = rng.uniform(12, 52, num_colors) * (1 - (np.abs(lightness - 58) / 65) ** 2)
    a, b = chroma * np.cos(np.radians(hues)), chroma * np.sin(np.radians(hues))
    return np.stack([lightness, a, b], axis=1).astype(np.float32)


def rank_by_contrast(
    rng: np.random.Generator, palette: Color, behind: Color, *, enough: float = 22.0
) -> Color:
    """Shuffles a palette, but colours that resemble what lies behind come last.

    Without this, one object in ten could not be seen by a person either.

    Args:
        rng: Source of the order.
        palette: CIE Lab, shape (N, 3).
        behind: CIE Lab, shape (M, 3).
        enough: Distance in Lab to all of ``behind`` above which colours count as equally good.

    Returns:
        The palette in another order, shape (N, 3).
    """
    shuffled = rng.permutation(palette)
    distance = np.linalg.norm(shuffled[:, None] - behind, axis=2).min(axis=1)
    return shuffled[np.argsort(-np.minimum(distance, enough), kind="stable")]


def with_companion(rng: np.random.Generator, color: Color, palette: Color) -> Color:
    """A colour and a second one for its pattern, CIE Lab, shape (2, 3).

    Mostly a shade of the first, sometimes half way to another colour of the palette: real surfaces
    are calmer than the borders between them.
    """
    if rng.random() < 0.65:
        lighter = rng.choice([-1, 1]) * rng.uniform(6, 14)
        second = color + (lighter, 0, 0) + rng.normal(0, 5, 3)
    else:
        second = color + rng.uniform(0.25, 0.5) * (rng.choice(palette) - color)
    return np.stack([color, second]).astype(np.float32)


def lab_to_rgb(lab: Color) -> Color:
    """CIE Lab to RGB in [0, 1], shape (..., 3)."""
    return np.clip(_convert(lab, cv2.COLOR_Lab2RGB), 0, 1)


def rgb_to_lab(rgb: Color) -> Color:
    """RGB in [0, 1] to CIE Lab, shape (..., 3)."""
    return _convert(rgb, cv2.COLOR_RGB2Lab)


def _convert(colors: Color, code: int) -> Color:
    pixels = cv2.cvtColor(colors.astype(np.float32).reshape(-1, 1, 3), code)
    return np.asarray(pixels, dtype=np.float32).reshape(colors.shape)
