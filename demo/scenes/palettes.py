"""Palettes of matching colours; objects, clutter and background of a scene share one."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Color = NDArray[np.floating[Any]]  # (..., 3): CIE Lab, or RGB in [0, 1]


def draw_palette(rng: np.random.Generator, *, num_colors: int = 9) -> Color:
    """Draw colours of three related hues and varied lightness, CIE Lab (num_colors, 3)."""
    accents = [0, rng.uniform(25, 60), 180 + rng.uniform(-40, 40)]
    hues = rng.uniform(0, 360) + rng.choice(accents, num_colors) + rng.normal(0, 8, num_colors)
    lightness = rng.permutation(np.linspace(28, 90, num_colors)) + rng.normal(0, 3, num_colors)
    # very light and very dark colours with more chroma would leave the gamut
    chroma = rng.uniform(12, 52, num_colors) * (1 - (np.abs(lightness - 58) / 65) ** 2)
    a, b = chroma * np.cos(np.radians(hues)), chroma * np.sin(np.radians(hues))
    return np.stack([lightness, a, b], axis=1).astype(np.float32)


def rank_by_contrast(
    rng: np.random.Generator, palette: Color, behind: Color, *, enough: float = 22.0
) -> Color:
    """Shuffle a palette, with colours similar to the background last.

    Otherwise one object in ten would be invisible.

    Args:
        rng: generator of the order.
        palette: CIE Lab, shape (N, 3).
        behind: colours of the background, CIE Lab, shape (M, 3).
        enough: distance in Lab to the background above which colours are equally good.

    Returns:
        The palette in another order, shape (N, 3).
    """
    shuffled = rng.permutation(palette)
    distance = np.linalg.norm(shuffled[:, None] - behind, axis=2).min(axis=1)
    return shuffled[np.argsort(-np.minimum(distance, enough), kind="stable")]


def with_companion(rng: np.random.Generator, color: Color, palette: Color) -> Color:
    """Draw a second colour for the pattern of a surface; both in CIE Lab, shape (2, 3).

    It is mostly a shade of the first, sometimes a mixture with another colour of the palette: the
    contrast within a surface is mostly lower than at its border.
    """
    if rng.random() < 0.65:
        lighter = rng.choice([-1, 1]) * rng.uniform(6, 14)
        second = color + (lighter, 0, 0) + rng.normal(0, 5, 3)
    else:
        second = color + rng.uniform(0.25, 0.5) * (rng.choice(palette) - color)
    return np.stack([color, second]).astype(np.float32)


def lab_to_rgb(lab: Color) -> Color:
    """Convert CIE Lab to RGB in [0, 1], shape (..., 3)."""
    return np.clip(_convert(lab, cv2.COLOR_Lab2RGB), 0, 1)


def rgb_to_lab(rgb: Color) -> Color:
    """Convert RGB in [0, 1] to CIE Lab, shape (..., 3)."""
    return _convert(rgb, cv2.COLOR_RGB2Lab)


def _convert(colors: Color, code: int) -> Color:
    pixels = cv2.cvtColor(colors.astype(np.float32).reshape(-1, 1, 3), code)
    return np.asarray(pixels, dtype=np.float32).reshape(colors.shape)
