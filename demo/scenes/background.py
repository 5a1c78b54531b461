"""Background of a scene: textured ground, and clutter of no class."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .curves import Points, ellipse, polygon, rotate, smooth, stroke
from .painting import Stage, paint
from .palettes import Color, with_companion
from .shape import Part, Shape
from .textures import noise, texture


def draw_ground(rng: np.random.Generator, size: int, palette: Color) -> Color:
    """Paint two to four textured regions with wavy borders and uneven light.

    Returns:
        RGB of about [0, 1], shape (size, size, 3), float32.
    """
    rows, columns = np.mgrid[:size, :size].astype(np.float32)

    def region() -> Color:
        colors = with_companion(rng, rng.choice(palette), palette)
        return texture(rng, columns, rows, colors, period=rng.uniform(8, 40))

    image = region()
    for _ in range(rng.integers(1, 4)):
        angle, offset = rng.uniform(0, 2 * np.pi), rng.uniform(-0.35, 0.35) * size
        border = np.cos(angle) * (columns - size / 2) + np.sin(angle) * (rows - size / 2) - offset
        border += rng.uniform(2, 30) * noise(rng, (size, size), size / 3, octaves=4)
        image += np.clip(border + 0.5, 0, 1)[..., None] * (region() - image)
    light = 1 + 0.2 * noise(rng, (size, size), size / 2, octaves=2)
    return np.asarray(image * light[..., None], dtype=np.float32)


def scatter_clutter(rng: np.random.Generator, stage: Stage, count: int) -> None:
    """Paint ``count`` random shapes with the textures, relief and shadows of objects."""
    size = len(stage.image)
    for _ in range(count):
        center, turn = rng.uniform(0, size, 2), rng.uniform(-40, 40)
        radius, draw = size * rng.uniform(0.04, 0.2), _THINGS[rng.integers(len(_THINGS))]
        outlines = [rotate(radius * outline, turn) + center for outline in draw(rng)]
        parts = tuple(Part(f"layer {i}", outline) for i, outline in enumerate(outlines))
        paint(rng, stage, Shape(parts, {}), turn=turn)


def _blob(rng: np.random.Generator) -> list[Points]:
    corners = int(rng.integers(5, 10))
    ring = ellipse((0, 0), rng.uniform(0.5, 1, 2), num=corners + 1)[:-1]
    outline = smooth(ring * rng.uniform(0.6, 1.2, (corners, 1)), closed=True)
    return [outline, 0.5 * outline] if rng.random() < 0.4 else [outline]


def _box(rng: np.random.Generator) -> list[Points]:
    width, height = rng.uniform(0.3, 1.2, 2)
    box = polygon((-1, -1), (1, -1), (1, 1), (-1, 1)) * (width, height)
    lower = np.maximum(box, (-width, rng.uniform(-0.5, 0.5) * height))
    return [box, lower] if rng.random() < 0.6 else [box]


def _branch(rng: np.random.Generator) -> list[Points]:
    steps = rng.normal(0, 0.5, (5, 2)) + (0.5, 0)
    return [stroke(smooth(np.cumsum(steps, axis=0) - (1.2, 0)), rng.uniform(0.06, 0.3, 2))]


def _ring(rng: np.random.Generator) -> list[Points]:
    arc = ellipse((0, 0), rng.uniform(0.4, 1, 2), 0, rng.uniform(150, 360))
    return [stroke(arc, rng.uniform(0.15, 0.35))]


def _star(rng: np.random.Generator) -> list[Points]:
    tips = int(rng.integers(3, 8))
    radii = np.tile([1, rng.uniform(0.3, 0.8)], tips)[:, None]
    return [radii * ellipse((0, 0), 1, num=2 * tips + 1)[:-1]]


_THINGS: tuple[Callable[[np.random.Generator], list[Points]], ...] = (
    _blob,
    _box,
    _branch,
    _ring,
    _star,
)
