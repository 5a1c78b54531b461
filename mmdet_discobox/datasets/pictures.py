"""Read pictures as mmdet's loader does, the way round that their boxes are for."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

_UPRIGHT = cv2.IMREAD_COLOR
_STORED = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION


def read_picture(path: str | Path, *, size: tuple[float, float] | None = None) -> np.ndarray:
    """Read a picture of any kind as 8-bit BGR.

    16 bits are cut to the upper 8, gray becomes three equal channels, CMYK is converted and
    transparency dropped: all as ``LoadImageFromFile``. That also turns a picture upright by its
    EXIF orientation; here that is left out where only the picture as stored has the size wanted.

    Args:
        path: the file.
        size: ``(width, height)`` that the boxes are for, None for any.

    Returns:
        ``(H, W, 3)`` uint8 BGR.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no picture, or of another size.
    """
    try:
        content = np.fromfile(str(path), dtype=np.uint8)  # any name, on any system
    except (OSError, ValueError) as error:
        raise FileNotFoundError(f"there is no picture at '{path}'") from error
    upright = decode(content, _UPRIGHT)
    if upright is None:
        raise ValueError(f"OpenCV cannot read the picture '{path}'")
    if size is None or _size(upright) == tuple(size):
        return upright
    stored = decode(content, _STORED)
    if stored is not None and _size(stored) == tuple(size):
        return stored
    raise ValueError(
        f"the picture '{path}' has {_size(upright)[0]} x {_size(upright)[1]} pixels, but its boxes "
        f"are for {size[0]} x {size[1]}"
    )


def decode(content: np.ndarray, flags: int = _UPRIGHT) -> np.ndarray | None:
    """Decode a picture with OpenCV.

    Args:
        content: ``(n,)`` uint8, the file.
        flags: of ``cv2.imdecode``; the default are those of mmdet's loader.

    Returns:
        ``(H, W, 3)`` uint8 BGR, with other flags of another depth and other channels; None if it
        cannot be read.
    """
    if not content.size:
        return None
    try:
        return cv2.imdecode(content, flags)
    except cv2.error:
        return None


def _size(picture: np.ndarray) -> tuple[int, int]:
    return picture.shape[1], picture.shape[0]
