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
