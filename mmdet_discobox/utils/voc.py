"""Classes and colours of Pascal VOC."""

from __future__ import annotations

import numpy as np

#: in the order of their labels, which VOC numbers from 1
VOC_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train",
    "tvmonitor",
)  # fmt: skip


def voc_colours() -> np.ndarray:
    """Return the colours of VOC's palette images.

    The bits of a number are dealt to red, green and blue in turn, beginning with the lowest bit of
    the number and the highest bit of the colours.

    Returns:
        ``(256, 3)`` uint8 RGB.
    """
    numbers = np.arange(256)[:, None]
    bits = [numbers >> (3 * step + np.arange(3)) & 1 for step in range(3)]  # (256, 3) each
    return (bits[0] << 7 | bits[1] << 6 | bits[2] << 5).astype(np.uint8)
