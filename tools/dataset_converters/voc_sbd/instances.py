"""One image's instances as a map of indices, and their COCO annotations."""

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
        indices: (H, W) uint8, the index of each pixel's instance; 0 is background, 255 is void.
        classes: Class of each index, 1 to 20. An index may have no pixel.
    """

    indices: npt.NDArray[np.uint8]
    classes: Mapping[int, int]


def coco_annotations(instances: Instances) -> list[Json]:
    """Turn instances into annotations with masks, and boxes that fit tightly around them.

    A pixel at column x covers [x, x + 1], so that a box of one pixel is 1 wide. Void pixels are in
    no mask.

    Args:
        instances: Of one image.

    Returns:
        For each instance that has pixels ``category_id``, ``bbox`` as (x, y, width, height),
        ``area``, ``iscrowd`` and ``segmentation``, a compressed run-length code.
    """
    there = [index for index in np.unique(instances.indices).tolist() if index not in (0, VOID)]
    masks = np.array(there, dtype=np.uint8)[:, None, None] == instances.indices.T  # (N, W, H)
    codes = mask_utils.encode(np.ascontiguousarray(masks).view(np.uint8).T) if there else []
    return [
        {
            "category_id": instances.classes[index],
            "bbox": mask_utils.toBbox(code).tolist(),
            "area": int(mask_utils.area(code)),
            "iscrowd": 0,
            "segmentation": {"size": code["size"], "counts": code["counts"].decode("ascii")},
        }
        for index, code in zip(there, codes, strict=True)
    ]
