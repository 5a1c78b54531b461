"""Run-length encodings (RLE) of masks."""

from __future__ import annotations

from typing import Any

import numpy as np
from pycocotools import mask as mask_utils


def to_rle(segmentation: Any, *, height: int, width: int) -> dict[str, Any]:
    """Convert any of COCO's three kinds of segmentation to a compressed RLE.

    Args:
        segmentation: Polygons (an empty list is an empty mask), an uncompressed RLE or a
            compressed RLE.
        height: Height of the image in pixels.
        width: Width of the image in pixels.

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


def run_lengths(counts: str | bytes) -> list[int]:
    """Decode the text of a compressed RLE into run lengths, without a check of their sum.

    pycocotools reads past the end of a mask if the lengths do not add up to its size.

    Args:
        counts: ``counts`` of a compressed RLE.

    Returns:
        Lengths of the runs of background and foreground, alternating; a broken text may give
        negative ones.
    """
    runs: list[int] = []
    value = shift = 0
    for byte in counts.encode() if isinstance(counts, str) else counts:
        code = byte - 48
        value |= (code & 0x1F) << shift
        shift += 5
        if not code & 0x20:  # the last group of five bits has the sign
            value -= (code & 0x10) << (shift - 4)
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    return runs
