"""Drawings of dense correspondence: colour fields over the masks, and lines (Fig. 1 and 5).

The colour of a source pixel encodes its position; the matched target pixel has the same colour.
Discontinuities of the match are visible as discontinuities of the target's colours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Image = NDArray[np.uint8]

#: colours of a 3 x 3 grid over the source: saturated ones around a white centre
_COLOUR_GRID = np.array(
    [
        [[236, 56, 131], [255, 120, 50], [255, 214, 51]],
        [[150, 82, 255], [255, 246, 232], [130, 215, 70]],
        [[66, 62, 230], [0, 176, 235], [0, 196, 140]],
    ],
    np.float32,
)
_GAP = 16  # pixels of white between the images
_BACKGROUND_CONTRAST = 0.45  # fraction of the original contrast
_OPACITY = 0.78  # of a colour field


@dataclass(frozen=True, eq=False)
class DrawnMatch:
    """A matched source and target object, as drawn by :func:`draw_correspondence`.

    Attributes:
        images: index of the source's and of the target's image; equal for objects of one image.
        source_mask: ``(H, W)`` boolean in pixels of the source image.
        target_mask: ``(h, w)`` boolean in pixels of the target image.
        source_points: ``(n, 2)`` x and y in pixels, dense points of the source mask.
        target_points: ``(n, 2)`` the matched points in pixels of the target image.
        certainty: ``(n,)`` certainty of each match; no lines are drawn for the lowest ones.
    """

    images: tuple[int, int]
    source_mask: NDArray[np.bool_]
    target_mask: NDArray[np.bool_]
    source_points: Floats
    target_points: Floats
    certainty: Floats


def draw_correspondence(
    images: Sequence[Image],
    matches: Sequence[DrawnMatch],
    *,
    lines: int = 10,
    height: int = 480,
) -> Image:
    """Draw the images side by side, with a colour field over each matched object.

    Args:
        images: ``(H, W, 3)`` uint8 RGB each.
        matches: the matches to draw; later ones are drawn over earlier ones.
        lines: number of lines per match.
        height: height of the drawing in pixels; all images are scaled to it.

    Returns:
        ``(height, width, 3)`` uint8 RGB.
    """
    scales = [height / len(image) for image in images]
    panels = [_resize(image, scale) for image, scale in zip(images, scales, strict=True)]
    canvases = [_fade(panel) if matches else panel for panel in panels]
    for match in matches:
        source, target = (points * scales[i] for points, i in _points_of_images(match))
        colours = position_colours(_normalise(source))
        masks = (match.source_mask, match.target_mask)
        for index, mask, points in zip(match.images, masks, (source, target), strict=True):
            _draw_field(canvases[index], panels[index], mask, points, colours)
    canvas, starts = _concatenate(canvases)
    for match in matches:
        source, target = (
            points * scales[i] + [starts[i], 0] for points, i in _points_of_images(match)
        )
        colours = position_colours(_normalise(source))
        chosen = _select_lines(match, lines)
        _draw_lines(canvas, source[chosen], target[chosen], colours[chosen])
    return canvas


def position_colours(positions: Floats) -> Floats:
    """Map positions in the unit square to distinct colours.

    Args:
        positions: ``(n, 2)`` x and y in [0, 1].

    Returns:
        ``(n, 3)`` float32 RGB in [0, 255], interpolated bilinearly between nine colours.
    """
    knots = np.arange(3) / 2
    x, y = (np.maximum(1 - 2 * np.abs(positions[:, [axis]] - knots), 0) for axis in (0, 1))
    # i, j: rows and columns of the grid; n: positions; c: channels
    return np.einsum("ni,nj,ijc->nc", y, x, _COLOUR_GRID).astype(np.float32)


def interpolate_colours(points: Floats, colours: Floats, size: tuple[int, int]) -> Floats:
    """Interpolate an image from colours at scattered points, smoothly and without holes.

    Args:
        points: ``(n, 2)`` x and y in pixels; points outside the image are ignored.
        colours: ``(n, 3)``.
        size: ``(H, W)`` of the image.

    Returns:
        ``(H, W, 3)`` float32: means of the colours around each pixel, weighted by proximity.
    """
    column, row = np.floor(points).astype(int).T
    inside = (row >= 0) & (row < size[0]) & (column >= 0) & (column < size[1])
    splats: NDArray[Any] = np.zeros((*size, 4), np.float32)
    values = np.column_stack([colours, np.ones(len(colours), np.float32)])
    np.add.at(splats, (row[inside], column[inside]), values[inside])
    splats = cv2.GaussianBlur(splats, (0, 0), max(size) / 100)
    total = splats
    for level in range(1, 7):  # wider kernels of smaller weight fill regions without points
        splats = cv2.pyrDown(splats)
        wide = cv2.GaussianBlur(splats, (0, 0), 3)
        total = total + 0.01**level * cv2.resize(wide, size[::-1])
    return total[..., :3] / np.maximum(total[..., 3:], 1e-30)


def _points_of_images(match: DrawnMatch) -> Any:
    return zip((match.source_points, match.target_points), match.images, strict=True)


def _normalise(points: Floats) -> Floats:
    """Scale points to [0, 1] over their own extent."""
    low = points.min(0, initial=np.inf)
    return (points - low) / np.maximum(points.max(0, initial=-np.inf) - low, 1e-6)


def _resize(image: Image, scale: float) -> Image:
    width, height = round(image.shape[1] * scale), round(len(image) * scale)
    mode = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return cv2.resize(image, (width, height), interpolation=mode).astype(np.uint8)


def _fade(panel: Image) -> Image:
    """Reduce saturation and contrast, so that the colour fields stand out."""
    grey = panel.mean(2, keepdims=True) * 0.7 + panel * 0.3
    return (255 - (255 - grey) * _BACKGROUND_CONTRAST).astype(np.uint8)


def _draw_field(
    canvas: Image, panel: Image, mask: NDArray[np.bool_], points: Floats, colours: Floats
) -> None:
    """Blend the colours over the object, keep its shading, and draw a white outline."""
    size = (canvas.shape[0], canvas.shape[1])
    soft = cv2.resize(mask.astype(np.float32), size[::-1], interpolation=cv2.INTER_LINEAR)
    soft = cv2.GaussianBlur(soft, (0, 0), size[0] / 160)
    cover = np.clip((soft - 0.5) * 6 + 0.5, 0, 1)[..., None]
    field = interpolate_colours(points, colours, size)
    shade = panel.mean(2, keepdims=True) / 255
    object_ = _OPACITY * field * (0.7 + 0.4 * shade) + (1 - _OPACITY) * panel
    canvas[:] = np.clip(cover * object_ + (1 - cover) * canvas, 0, 255)
    outline, _ = cv2.findContours(
        (soft > 0.5).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    cv2.drawContours(canvas, outline, -1, (255, 255, 255), 2, cv2.LINE_AA)


def _concatenate(canvases: Sequence[Image]) -> tuple[Image, list[int]]:
    """Concatenate the images in a row; return it and the first column of each image."""
    widths = [canvas.shape[1] for canvas in canvases]
    starts = [sum(widths[:i]) + _GAP * i for i in range(len(widths))]
    row = np.full((len(canvases[0]), starts[-1] + widths[-1], 3), 255, np.uint8)
    for canvas, start in zip(canvases, starts, strict=True):
        row[:, start : start + canvas.shape[1]] = canvas
    return row, starts


def _select_lines(match: DrawnMatch, count: int) -> list[int]:
    """Select spread-out matches of high certainty that end on the target mask."""
    candidates = np.flatnonzero(_sample_nearest(match.target_mask, match.target_points))
    if not len(candidates):
        return []
    candidates = candidates[_above_quantile(match.certainty[candidates], 0.3)]
    padded = np.pad(match.source_mask.astype(np.uint8), 1)  # the image border counts as boundary
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, 3)[1:-1, 1:-1]
    depths = _sample_nearest(depth, match.source_points)[candidates]
    candidates = candidates[_above_quantile(depths, 0.1)]
    points = match.source_points[candidates]
    distance = np.linalg.norm(points - points.mean(0), axis=1)
    chosen: list[int] = []
    while len(chosen) < min(count, len(candidates)):
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, np.linalg.norm(points - points[chosen[-1]], axis=1))
    return candidates[chosen].tolist()


def _above_quantile(values: NDArray[Any], quantile: float) -> NDArray[np.bool_]:
    return values >= np.quantile(values, quantile)


def _sample_nearest(image: NDArray[Any], points: Floats) -> NDArray[Any]:
    """Sample the image at points, with coordinates clamped to the image."""
    column, row = np.floor(points).astype(int).T
    height, width = image.shape
    return image[row.clip(0, height - 1), column.clip(0, width - 1)]


def _draw_lines(canvas: Image, source: Floats, target: Floats, colours: Floats) -> None:
    """Draw lines with a white border and round ends, at 1/16 pixel precision."""
    ends = [np.rint(points * 16).astype(int).tolist() for points in (source, target)]
    for start, end, colour in zip(*ends, colours.tolist(), strict=True):
        for paint, width, radius in (((255, 255, 255), 4, 6), (colour, 2, 4)):
            cv2.line(canvas, start, end, paint, width, cv2.LINE_AA, 4)
            for centre in (start, end):
                cv2.circle(canvas, centre, radius * 16, paint, -1, cv2.LINE_AA, 4)
