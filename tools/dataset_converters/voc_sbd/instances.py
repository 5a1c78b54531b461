"""Instances of an image as a map of indices, and their COCO annotations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from pycocotools import mask as mask_utils

from mmdet_discobox.utils.types import Json

VOID = 255


class Instances(NamedTuple):
    """The instances of an image.

    Attributes:
        indices: ``(H, W)`` uint8 index of each pixel's instance; 0 is background, 255 is void.
        classes: class of each index, 1 to 20. An index may have no pixel.
    """

    indices: npt.NDArray[np.uint8]
    classes: Mapping[int, int]


def coco_annotations(instances: Instances) -> list[Json]:
    """Convert instances to COCO annotations with masks and tight boxes.

    A pixel at column x covers [x, x + 1], so the box of one pixel is 1 wide. Void pixels are in no
    mask.

    Args:
        instances: instances of one image.

    Returns:
        ``category_id``, ``bbox``, ``area``, ``iscrowd`` and ``segmentation`` (compressed RLE) of
        each instance with pixels.
    """
    present = [index for index in np.unique(instances.indices).tolist() if index not in (0, VOID)]
    masks = np.array(present, dtype=np.uint8)[:, None, None] == instances.indices.T  # (N, W, H)
    codes = mask_utils.encode(np.ascontiguousarray(masks).view(np.uint8).T) if present else []
    return [
        {
            "category_id": instances.classes[index],
            "bbox": mask_utils.toBbox(code).tolist(),
            "area": int(mask_utils.area(code)),
            "iscrowd": 0,
            "segmentation": {"size": code["size"], "counts": code["counts"].decode("ascii")},
        }
        for index, code in zip(present, codes, strict=True)
    ]
