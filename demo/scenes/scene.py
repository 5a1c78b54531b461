"""Render a scene: objects over clutter, with exact visible masks, tight boxes and key points."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .background import draw_ground, scatter_clutter
from .painting import Stage, Window, coverage, paint
from .palettes import Color, draw_palette
from .shape import Shape
from .shapes import CLASSES, SHAPES

_MIN_VISIBLE = 0.75  # share of an object that is not hidden or outside the image
_MIN_PIXELS = 120
_ATTEMPTS = 12
_LONG_SIDE = (0.4, 0.85)  # of an object, as a share of the image

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class SceneObject:
    """The annotation of one object.

    Attributes:
        label: index into ``CLASSES``.
        mask: visible pixels, shape (S, S).
        box: tight box of the visible pixels ``(x1, y1, x2, y2)``, far edges exclusive, shape (4,).
        keypoints: x and y in pixels and visibility as in COCO (2 visible, 1 hidden by another
            object, 0 outside the image, where x = y = 0), shape (K, 3), in the order of
            ``KEYPOINTS[CLASSES[label]]``.
    """

    label: int
    mask: Mask
    box: NDArray[np.float64]
    keypoints: NDArray[np.float64]


@dataclass(frozen=True)
class Scene:
    """An image (S, S, 3), uint8 RGB, and its objects from back to front."""

    image: NDArray[np.uint8]
    objects: tuple[SceneObject, ...]


@dataclass(frozen=True)
class _Placed:
    """An object in image coordinates; ``area`` includes its pixels outside the image."""

    label: int
    shape: Shape
    turn: float
    area: int
    mask: Mask


def render_scene(rng: np.random.Generator, size: int = 224, *, max_objects: int = 3) -> Scene:
    """Render a random scene with at least one object.

    Args:
        rng: generator of all randomness; equal generators give equal scenes.
        size: side of the square image in pixels, at least 64.
        max_objects: largest number of objects; objects that would hide others are dropped.

    Raises:
        ValueError: if ``size`` or ``max_objects`` is too small.
    """
    if size < 64 or max_objects < 1:
        raise ValueError(
            f"Expected `size` >= 64 and `max_objects` >= 1, but got {size} and {max_objects}."
        )
    palette, angle = draw_palette(rng), rng.uniform(np.pi, 2 * np.pi)
    light = np.array([np.cos(angle), np.sin(angle)])
    stage = Stage(draw_ground(rng, size, palette), palette, light)
    scatter_clutter(rng, stage, int(rng.integers(3, 9)))
    placed = _place_objects(rng, size, int(rng.integers(1, max_objects + 1)))
    for item in placed:
        paint(rng, stage, item.shape, turn=item.turn)
    masks = _visible_masks([item.mask for item in placed])
    objects = tuple(_describe(item, mask) for item, mask in zip(placed, masks, strict=True))
    return Scene(_photograph(rng, stage.image), objects)


def _place_objects(rng: np.random.Generator, size: int, count: int) -> list[_Placed]:
    placed: list[_Placed] = []
    while not placed:
        for _ in range(count):
            for _ in range(_ATTEMPTS):
                trial = [*placed, _draw_object(rng, size)]
                if _all_visible(trial):
                    placed = trial
                    break
    return placed


def _all_visible(placed: list[_Placed]) -> bool:
    masks = _visible_masks([item.mask for item in placed])
    needed = (max(_MIN_VISIBLE * item.area, _MIN_PIXELS) for item in placed)
    return all(mask.sum() >= least for mask, least in zip(masks, needed, strict=True))


def _draw_object(rng: np.random.Generator, size: int) -> _Placed:
    label, turn = int(rng.integers(len(CLASSES))), rng.uniform(-25, 25)
    shape = SHAPES[CLASSES[label]](rng)
    mirrored = not shape.symmetric and rng.random() < 0.5
    shape = shape.warp(_pose(rng, turn, mirrored=mirrored))
    low, high = shape.bounds
    scale = size * np.exp(rng.uniform(*np.log(_LONG_SIDE))) / (high - low).max()
    shift = rng.uniform(0.15, 0.85, 2) * size - scale * 0.5 * (low + high)
    shape = shape.warp(np.array([[scale, 0, shift[0]], [0, scale, shift[1]], [0, 0, 1]]))
    return _Placed(label, shape, turn, *_silhouette(shape, size))


def _pose(rng: np.random.Generator, turn: float, *, mirrored: bool) -> NDArray[np.float64]:
    """Draw a homography (3, 3): mirroring, stretch, shear, rotation, slight perspective."""
    cos, sin = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    stretch, shear = np.exp(rng.uniform(-0.1, 0.1)), rng.uniform(-0.12, 0.12)
    affine = np.array([[cos, -sin], [sin, cos]]) @ np.array([[stretch, shear], [0, 1 / stretch]])
    pose = np.eye(3)
    pose[:2, :2] = affine @ np.diag([-1 if mirrored else 1, 1])
    pose[2, :2] = rng.uniform(-0.1, 0.1, 2)
    return pose


def _silhouette(shape: Shape, size: int) -> tuple[int, Mask]:
    """Return the area on an unbounded canvas, and the mask in the image (size, size)."""
    window = Window.around(shape)
    inside = window.clip(size)
    whole = coverage(shape.outlines, window) >= 0.5
    top, left = inside.top - window.top, inside.left - window.left
    mask = np.zeros((size, size), dtype=bool)
    mask[inside.slices] = whole[top:, left:][: inside.shape[0], : inside.shape[1]]
    return int(whole.sum()), mask


def _visible_masks(masks: list[Mask]) -> list[Mask]:
    """Remove the pixels of later masks from each mask."""
    visible, covered = [], np.zeros_like(masks[0])
    for mask in reversed(masks):
        visible.append(mask & ~covered)
        covered = covered | mask
    return visible[::-1]


def _describe(item: _Placed, mask: Mask) -> SceneObject:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], dtype=np.float64)
    return SceneObject(item.label, mask, box, _keypoints(item.shape, mask))


def _keypoints(shape: Shape, mask: Mask) -> NDArray[np.float64]:
    xy = np.stack(list(shape.keypoints.values()))
    # at the rim of a thin part the pixel itself may be covered by less than half: dilate
    near = cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8))
    inside = np.all((xy >= 0) & (xy < len(mask)), axis=1)
    xy = np.where(inside[:, None], xy, 0)
    column, row = xy.astype(int).T
    return np.column_stack([xy, np.where(inside, 1 + near[row, column], 0)])


def _photograph(rng: np.random.Generator, image: Color) -> NDArray[np.uint8]:
    """Apply exposure, contrast, blur and noise of a camera; return uint8 RGB."""
    image = np.clip(image, 0, 1) ** rng.uniform(0.8, 1.2)
    image = 0.5 + rng.uniform(0.8, 1.1) * (image - 0.5) + rng.uniform(-0.05, 0.05)
    blurred = np.float32(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 0.75)))
    noise = rng.uniform(0.004, 0.02) * rng.standard_normal(image.shape, dtype=np.float32)
    return np.round(255 * np.clip(blurred + noise, 0, 1)).astype(np.uint8)
