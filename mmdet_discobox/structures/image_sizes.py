"""Sizes of an image in a batch."""

from __future__ import annotations

from mmdet.structures import DetDataSample


def scale_factor(sample: DetDataSample) -> tuple[float, float]:
    """Return the pixels of the resized image per pixel of the original along x and y."""
    x, y = sample.metainfo.get("scale_factor", (1.0, 1.0))[:2]
    return float(x), float(y)


def visible_size(sample: DetDataSample) -> tuple[int, int]:
    """Return the height and width of an image in the batch without the padding of its pipeline.

    ``img_shape`` has no padding of the data preprocessor, but that of mmdet's ``Pad``.
    """
    height, width = sample.img_shape[:2]
    original = sample.metainfo.get("ori_shape")
    if original is None:
        return height, width
    x, y = scale_factor(sample)
    return min(height, round(original[0] * y)), min(width, round(original[1] * x))
