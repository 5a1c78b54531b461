"""Pictures of dense correspondence: coloured fields over the masks, and lines (Fig. 1 and 5).

A colour stands for a place in the source. The target's field shows where these places went, so the
same parts have the same colours; where a match is torn or folded, so are the colours.
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

#: colours of a 3 x 3 raster over the source, clear ones around a white middle
_RASTER = np.array(
    [
        [[236, 56, 131], [255, 120, 50], [255, 214, 51]],
        [[150, 82, 255], [255, 246, 232], [130, 215, 70]],
        [[66, 62, 230], [0, 176, 235], [0, 196, 140]],
    ],
    np.float32,
)
_GAP = 16  # pixels of white between the images
_DIM = 0.45  # how much of its contrast the background keeps
_OPACITY = 0.78  # of a field


@dataclass(frozen=True, eq=False)
class DrawnMatch:
    """A source object and its target object.

    Attributes:
        images: place of the source's and of the target's image; the same for two objects of one.
        source_mask: ``(H, W)`` boolean in pixels of the source's image.
        target_mask: ``(h, w)`` boolean in pixels of the target's image.
        source_points: ``(n, 2)`` x and y in pixels; points on the source's mask, dense.
        target_points: ``(n, 2)`` where they lie in the target's image.
        certainty: ``(n,)`` how sure of each; the least sure get no lines.
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
    """Draw the images side by side, with a field of colours over each matched object.

    Args:
        images: ``(H, W, 3)`` uint8 RGB each.
        matches: what to draw; an object that is in several keeps the colours of the last.
        lines: number of lines of each match.
        height: of the drawing in pixels, that all images are scaled to.

    Returns:
        ``(height, width, 3)`` uint8 RGB.
    """
    scales = [height / len(image) for image in images]
    panels = [_resized(image, scale) for image, scale in zip(images, scales, strict=True)]
    canvases = [_faded(panel) if matches else panel for panel in panels]
    for match in matches:
        source, target = (points * scales[i] for points, i in _ends(match))
        colours = position_colours(_within_extent(source))
        masks = (match.source_mask, match.target_mask)
        for place, mask, points in zip(match.images, masks, (source, target), strict=True):
            _lay_field(canvases[place], panels[place], mask, points, colours)
    canvas, starts = _side_by_side(canvases)
    for match in matches:
        source, target = (points * scales[i] + [starts[i], 0] for points, i in _ends(match))
        colours = position_colours(_within_extent(source))
        chosen = _line_places(match, lines)
        _draw_lines(canvas, source[chosen], target[chosen], colours[chosen])
    return canvas


def position_colours(places: Floats) -> Floats:
    """Give each place of the unit square its own colour.

    Args:
        places: ``(n, 2)`` x and y in [0, 1].

    Returns:
        ``(n, 3)`` float32 RGB in [0, 255], bilinear between nine.
    """
    knots = np.arange(3) / 2
    x, y = (np.maximum(1 - 2 * np.abs(places[:, [axis]] - knots), 0) for axis in (0, 1))
    # i, j: rows and columns of the raster; n: places; c: channels
    return np.einsum("ni,nj,ijc->nc", y, x, _RASTER).astype(np.float32)


def carry_colours(points: Floats, colours: Floats, size: tuple[int, int]) -> Floats:
    """Paint an image from colours at scattered points, smoothly and without holes.

    Args:
        points: ``(n, 2)`` x and y in pixels; those outside the image are left out.
        colours: ``(n, 3)``.
        size: ``(H, W)`` of the image.

    Returns:
        ``(H, W, 3)`` float32: means of the colours around each pixel, close ones first.
    """
    column, row = np.floor(points).astype(int).T
    inside = (row >= 0) & (row < size[0]) & (column >= 0) & (column < size[1])
    drops: NDArray[Any] = np.zeros((*size, 4), np.float32)
    values = np.column_stack([colours, np.ones(len(colours), np.float32)])
    np.add.at(drops, (row[inside], column[inside]), values[inside])
    drops = cv2.GaussianBlur(drops, (0, 0), max(size) / 100)
    paint = drops
    for level in range(1, 7):  # wider and wider, and weaker: for where nothing is close
        drops = cv2.pyrDown(drops)
        wide = cv2.GaussianBlur(drops, (0, 0), 3)
        paint = paint + 0.01**level * cv2.resize(wide, size[::-1])
    return paint[..., :3] / np.maximum(paint[..., 3:], 1e-30)


def _ends(match: DrawnMatch) -> Any:
    return zip((match.source_points, match.target_points), match.images, strict=True)


def _within_extent(points: Floats) -> Floats:
    """Points as shares of their own extent."""
    low = points.min(0, initial=np.inf)
    return (points - low) / np.maximum(points.max(0, initial=-np.inf) - low, 1e-6)


def _resized(image: Image, scale: float) -> Image:
    width, height = round(image.shape[1] * scale), round(len(image) * scale)
    mode = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return cv2.resize(image, (width, height), interpolation=mode).astype(np.uint8)


def _faded(panel: Image) -> Image:
    """Grey and light, so that colours stand out."""
    grey = panel.mean(2, keepdims=True) * 0.7 + panel * 0.3
    return (255 - (255 - grey) * _DIM).astype(np.uint8)


def _lay_field(
    canvas: Image, panel: Image, mask: NDArray[np.bool_], points: Floats, colours: Floats
) -> None:
    """Lay colours over the object, its shading shining through, and a white outline."""
    size = (canvas.shape[0], canvas.shape[1])
    soft = cv2.resize(mask.astype(np.float32), size[::-1], interpolation=cv2.INTER_LINEAR)
    soft = cv2.GaussianBlur(soft, (0, 0), size[0] / 160)
    cover = np.clip((soft - 0.5) * 6 + 0.5, 0, 1)[..., None]
    field = carry_colours(points, colours, size)
    shade = panel.mean(2, keepdims=True) / 255
    object_ = _OPACITY * field * (0.7 + 0.4 * shade) + (1 - _OPACITY) * panel
    canvas[:] = np.clip(cover * object_ + (1 - cover) * canvas, 0, 255)
    outline, _ = cv2.findContours(
        (soft > 0.5).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    cv2.drawContours(canvas, outline, -1, (255, 255, 255), 2, cv2.LINE_AA)


def _side_by_side(canvases: Sequence[Image]) -> tuple[Image, list[int]]:
    """The images in a row, and where each starts."""
    widths = [canvas.shape[1] for canvas in canvases]
    starts = [sum(widths[:i]) + _GAP * i for i in range(len(widths))]
    row = np.full((len(canvases[0]), starts[-1] + widths[-1], 3), 255, np.uint8)
    for canvas, start in zip(canvases, starts, strict=True):
        row[:, start : start + canvas.shape[1]] = canvas
    return row, starts


def _line_places(match: DrawnMatch, count: int) -> list[int]:
    """Points far from each other and from the rim, of the surer ones that end on the target."""
    candidates = np.flatnonzero(_read(match.target_mask, match.target_points))
    if not len(candidates):
        return []
    candidates = candidates[_upper(match.certainty[candidates], 0.3)]
    padded = np.pad(match.source_mask.astype(np.uint8), 1)  # the image's border is a rim, too
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, 3)[1:-1, 1:-1]
    candidates = candidates[_upper(_read(depth, match.source_points)[candidates], 0.1)]
    points = match.source_points[candidates]
    distance = np.linalg.norm(points - points.mean(0), axis=1)
    chosen: list[int] = []
    while len(chosen) < min(count, len(candidates)):
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, np.linalg.norm(points - points[chosen[-1]], axis=1))
    return candidates[chosen].tolist()


def _upper(values: NDArray[Any], share: float) -> NDArray[np.bool_]:
    """All but the given share of the smallest values."""
    return values >= np.quantile(values, share)


def _read(image: NDArray[Any], points: Floats) -> NDArray[Any]:
    """Pixels under points; of those outside, the nearest."""
    column, row = np.floor(points).astype(int).T
    height, width = image.shape
    return image[row.clip(0, height - 1), column.clip(0, width - 1)]


def _draw_lines(canvas: Image, source: Floats, target: Floats, colours: Floats) -> None:
    """Lines with a white seam and round ends, to a sixteenth of a pixel."""
    ends = [np.rint(points * 16).astype(int).tolist() for points in (source, target)]
    for start, end, colour in zip(*ends, colours.tolist(), strict=True):
        for paint, width, radius in (((255, 255, 255), 4, 6), (colour, 2, 4)):
            cv2.line(canvas, start, end, paint, width, cv2.LINE_AA, 4)
            for place in (start, end):
                cv2.circle(canvas, place, radius * 16, paint, -1, cv2.LINE_AA, 4)
