"""Masks as COCO writes them: run lengths or polygons."""

from __future__ import annotations

import hashlib
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from mmdet_discobox.utils.rle import to_rle

#: pixels are enlarged by this before their outline is followed
_ENLARGED = 4


def encode_rle(mask: np.ndarray) -> dict[str, Any]:
    """Encode a mask as compressed run lengths.

    Args:
        mask: ``(H, W)`` boolean.

    Returns:
        ``size`` and ``counts``, text that json can hold.
    """
    return _as_text(coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8)))


def encode_window(
    window: np.ndarray, origin: tuple[int, int], size: tuple[int, int]
) -> dict[str, Any]:
    """Encode a mask that is background outside a window, in the time of the window.

    Args:
        window: ``(h, w)`` boolean.
        origin: ``(x, y)`` of the window's first pixel in the image.
        size: ``(height, width)`` of the image, which contains the window.

    Returns:
        As :func:`encode_rle` of the whole mask.
    """
    height, width = size
    columns, rows = np.nonzero(window.T)  # run lengths go down the columns
    places = (columns + origin[0]) * height + rows + origin[1]
    if not len(places):
        return _as_text(coco_mask.frPyObjects(dict(size=size, counts=[height * width]), *size))
    breaks = np.flatnonzero(np.diff(places) > 1)
    starts, ends = places[np.r_[0, breaks + 1]], places[np.r_[breaks, -1]] + 1
    edges = np.stack([starts, ends], 1).flatten()
    counts = np.diff(np.r_[0, edges, height * width])
    counts = counts if counts[-1] else counts[:-1]
    return _as_text(coco_mask.frPyObjects(dict(size=size, counts=counts.tolist()), *size))


def _as_text(rle: dict[str, Any]) -> dict[str, Any]:
    """Return compressed run lengths that json can hold."""
    return dict(size=[int(side) for side in rle["size"]], counts=rle["counts"].decode("ascii"))


def decode_rle(rle: dict[str, Any]) -> np.ndarray:
    """Decode compressed run lengths into an ``(H, W)`` boolean mask."""
    return np.asarray(coco_mask.decode(rle), dtype=bool)


def mask_digest(segmentation: Any, *, height: int, width: int) -> str:
    """Return a short hash of a mask, by which a changed one is noticed.

    Args:
        segmentation: polygons or run lengths, see :func:`.to_rle`.
        height: of the image in pixels.
        width: of the image in pixels.
    """
    counts = to_rle(segmentation, height=height, width=width)["counts"]
    code = counts.encode("ascii") if isinstance(counts, str) else counts
    return hashlib.sha256(code).hexdigest()[:12]


def has_holes(mask: np.ndarray) -> bool:
    """Return whether an ``(H, W)`` boolean mask encloses background."""
    found = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    hierarchy = found[1]  # (1, N, 4): next, previous, first child and parent of each contour
    return hierarchy is not None and bool((hierarchy[0, :, 3] >= 0).any())


def to_polygons(mask: np.ndarray) -> list[list[float]]:
    """Outline a mask along the edges of its pixels.

    COCO's polygons cannot describe holes: holes of the mask are filled. Apart from these, decoding
    the polygons restores the mask up to a few pixels of its boundary.

    Args:
        mask: ``(H, W)`` boolean.

    Returns:
        One list ``[x1, y1, x2, y2, ...]`` for each part, in pixels.
    """
    rows, cols = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    if not len(rows):
        return []
    window = mask[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1].astype(np.uint8)
    large = np.kron(window, np.ones((_ENLARGED, _ENLARGED), np.uint8))
    contours, _ = cv2.findContours(large, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    origin = np.array([cols[0], rows[0]])
    polygons = []
    for contour in contours:
        # from the centres of the small pixels to the edges of the large ones
        edges = np.round((contour[:, 0] + 0.5) / _ENLARGED * 2) / 2 + origin
        edges = edges[(edges != np.roll(edges, 1, axis=0)).any(axis=1)]  # each corner once
        polygons.append([float(value) for value in edges.flatten()])
    return polygons
