"""Rasterise shapes, and paint them with texture, relief and shadow."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import cycle
from typing import NamedTuple

import cv2
import numpy as np

from .curves import Points
from .palettes import Color, lab_to_rgb, rank_by_contrast, rgb_to_lab, with_companion
from .shape import Shape
from .textures import Field, texture

_SUBPIXELS = 4
_SHIFT = 6  # fractional bits of the vertices, which OpenCV takes as integers
_PLAIN = {"dark": (14, 2, -4), "light": (94, 0, 4)}  # CIE Lab
_SHADOW_LENGTH = 3.0  # pixels


class Window(NamedTuple):
    """A rectangle of pixels with exclusive far edges."""

    left: int
    top: int
    right: int
    bottom: int

    @classmethod
    def around(cls, shape: Shape, *, margin: int = 1) -> Window:
        """Return the smallest window that contains the shape and a margin."""
        low, high = shape.bounds
        near, far = np.floor(low - margin).astype(int), np.ceil(high + margin).astype(int)
        return cls(*near.tolist(), *far.tolist())

    def clip(self, size: int) -> Window:
        """Return the part inside a square image, possibly empty."""
        return Window(*(min(max(edge, 0), size) for edge in self))

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index of the window in an array of the image."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.bottom - self.top, self.right - self.left


@dataclass(frozen=True)
class Stage:
    """The canvas of a scene, with its palette and light.

    Attributes:
        image: RGB in [0, 1], shape (S, S, 3), float32; painted in place.
        palette: CIE Lab, shape (N, 3).
        light: unit vector towards the light, shape (2,).
    """

    image: Color
    palette: Color
    light: Points


def coverage(outlines: list[Points], window: Window) -> Field:
    """Compute the share of each pixel covered by the union of outlines, from 16 samples a pixel.

    Args:
        outlines: polygons of shape (N, 2) in image coordinates: the pixel in column c and row r
            covers [c, c + 1) x [r, r + 1).
        window: window of the image.

    Returns:
        Values in [0, 1], shape (H, W) of the window.
    """
    height, width = window.shape
    fine = np.zeros((height * _SUBPIXELS, width * _SUBPIXELS), np.uint8)
    for outline in outlines:
        # the origin of OpenCV is the centre of the first pixel
        vertices = (outline - window[:2]) * _SUBPIXELS - 0.5
        cv2.fillPoly(fine, [np.round(vertices * 2**_SHIFT).astype(np.int32)], 255, shift=_SHIFT)
    coarse = cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA)
    return coarse.astype(np.float32) / 255


def paint(rng: np.random.Generator, stage: Stage, shape: Shape, *, turn: float) -> None:
    """Paint a shape with its shadow onto the stage.

    Args:
        rng: generator of colours and patterns.
        stage: canvas, palette and light.
        shape: shape in image coordinates.
        turn: rotation of the patterns in degrees, that of the object.
    """
    window = Window.around(shape, margin=6).clip(len(stage.image))
    if 0 in window.shape:
        return
    canvas, silhouette = stage.image[window.slices], coverage(shape.outlines, window)
    behind = np.float32(cv2.resize(canvas, (3, 3), interpolation=cv2.INTER_AREA))
    colors = cycle(rank_by_contrast(rng, stage.palette, rgb_to_lab(behind.reshape(-1, 3))))
    _cast_shadow(canvas, silhouette, stage.light, rng.uniform(0.1, 0.45))

    x, y, extent = *_turned_pixels(window, turn), float(np.sqrt(silhouette.sum()))
    surfaces: dict[str, Color] = {}
    for part in shape.parts:
        name = part.material
        if name not in surfaces and name in _PLAIN:
            surfaces[name] = lab_to_rgb(np.array(_PLAIN[name]))
        elif name not in surfaces:
            pair = with_companion(rng, next(colors), stage.palette)
            surfaces[name] = texture(rng, x, y, pair, period=3 + rng.uniform(0.08, 0.3) * extent)
        alpha = coverage([part.outline], window)
        relief = _relief(alpha, stage.light, 1 + 0.03 * extent)
        canvas += alpha[..., None] * (surfaces[name] * relief[..., None] - canvas)


def _turned_pixels(window: Window, degrees: float) -> tuple[Field, Field]:
    """Return coordinates x and y of the window's pixels in rotated axes, each (H, W)."""
    rows, columns = np.mgrid[window.slices].astype(np.float32)
    cos, sin = np.float32(np.cos(np.radians(degrees))), np.float32(np.sin(np.radians(degrees)))
    return cos * columns + sin * rows, cos * rows - sin * columns


def _cast_shadow(canvas: Color, alpha: Field, light: Points, strength: float) -> None:
    move = np.array([[1, 0, -_SHADOW_LENGTH * light[0]], [0, 1, -_SHADOW_LENGTH * light[1]]])
    shadow = cv2.GaussianBlur(cv2.warpAffine(alpha, move, alpha.shape[::-1]), (0, 0), 2.5)
    canvas *= 1 - strength * shadow[..., None]


def _relief(alpha: Field, light: Points, radius: float) -> Field:
    """Shade a surface that bulges inside ``alpha``: brightness of about 1, shape (H, W)."""
    height = cv2.GaussianBlur(alpha, (0, 0), radius)
    slope_x = cv2.Sobel(height, -1, 1, 0, scale=0.25 * radius)
    slope_y = cv2.Sobel(height, -1, 0, 1, scale=0.25 * radius)
    return 1 - np.clip(0.55 * (light[0] * slope_x + light[1] * slope_y), -0.3, 0.4)
