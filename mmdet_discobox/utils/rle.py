"""Run-length encodings (RLE) of masks."""

from __future__ import annotations

from typing import Any

import numpy as np
from pycocotools import mask as mask_utils

#: the largest image that OpenCV reads has fewer pixels than this
_MAX_LENGTH = 2**31
#: characters of a compressed length below it
_MAX_CHARACTERS = 7


def to_rle(segmentation: Any, *, height: int, width: int) -> dict[str, Any]:
    """Convert any of COCO's three kinds of segmentation to a compressed RLE.

    Args:
        segmentation: polygons (an empty list is an empty mask), an uncompressed RLE or a
            compressed RLE.
        height: height of the image in pixels.
        width: width of the image in pixels.

    Returns:
        The RLE in the format of pycocotools.
    """
    if isinstance(segmentation, list):
        if not segmentation:
            return mask_utils.encode(np.zeros((height, width), np.uint8, order="F"))
        return mask_utils.merge(mask_utils.frPyObjects(segmentation, height, width))
    if isinstance(segmentation["counts"], list):
        return mask_utils.frPyObjects(segmentation, height, width)
    return segmentation


def run_lengths(counts: Any) -> np.ndarray | None:
    """Read the run lengths of an RLE without pycocotools, which trusts its input.

    Args:
        counts: ``counts`` of a compressed or uncompressed RLE.

    Returns:
        ``(n,)`` int64 lengths of at least 0, background first; None if there are none to read.
    """
    try:
        lengths = _decompress(counts) if isinstance(counts, (str, bytes)) else np.array(counts)
    except (ValueError, OverflowError):  # no numbers, or lists of several lengths
        return None
    if lengths is None or lengths.ndim != 1 or lengths.dtype.kind not in "iu" or not lengths.size:
        return None
    valid = (lengths >= 0).all() and lengths.max() < _MAX_LENGTH
    return lengths.astype(np.int64) if valid else None


def _decompress(text: str | bytes) -> np.ndarray | None:
    """Decode the text: 5 bits per character, lowest first, the sixth one continues a number.

    From the third one on, the numbers are differences to the one before the last.
    """
    data = text.encode("ascii") if isinstance(text, str) else text
    codes = np.frombuffer(data, np.uint8).astype(np.int64) - 48
    if not len(codes) or codes.min() < 0 or codes.max() > 63 or codes[-1] & 32:
        return None
    last = np.flatnonzero(codes & 32 == 0)
    first = np.concatenate([[0], last[:-1] + 1])
    sizes = last - first + 1
    if sizes.max() > _MAX_CHARACTERS:
        return None
    shifts = 5 * (np.arange(len(codes)) - np.repeat(first, sizes))
    values = np.add.reduceat((codes & 31) << shifts, first)
    negative = codes[last] & 16 > 0
    values = np.where(negative, values - (1 << 5 * sizes), values)
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values
