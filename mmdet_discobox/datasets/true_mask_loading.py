"""Load the true masks of the annotations that have one."""

from __future__ import annotations

import numpy as np
from mmcv.transforms import BaseTransform
from mmdet.registry import TRANSFORMS
from pycocotools import mask as coco_mask

from mmdet_discobox.structures import PartialMasks
from mmdet_discobox.utils.rle import to_rle
from mmdet_discobox.utils.types import Json


@TRANSFORMS.register_module()
class LoadTrueMasks(BaseTransform):
    """Load the true masks of a :class:`.CocoBoxDataset` with ``use_masks=True``.

    Belongs after ``LoadAnnotations(with_bbox=True)``, before any geometric transform. Objects
    without a mask get the rectangle of their box, flagged as not true.

    Required keys: ``instances``, ``ori_shape``. Added key: ``gt_masks``, :class:`.PartialMasks`.
    """

    def transform(self, results: Json) -> Json:
        """Rasterise the masks.

        Raises:
            ValueError: if a transform has moved the image and its boxes before.
        """
        _check_unmoved(results)
        height, width = results["ori_shape"]
        instances = results["instances"]
        masks = np.zeros((len(instances), height, width), np.uint8)
        for mask, instance in zip(masks, instances, strict=True):
            if instance.get("mask"):
                mask[:] = coco_mask.decode(to_rle(instance["mask"], height=height, width=width))
            else:
                x1, y1, x2, y2 = (max(round(side), 0) for side in instance["bbox"])
                x1, y1 = min(x1, width - 1), min(y1, height - 1)  # a line at the border remains
                mask[y1 : max(y2, y1 + 1), x1 : max(x2, x1 + 1)] = 1
        flags = np.array([bool(instance.get("mask")) for instance in instances], bool)
        results["gt_masks"] = PartialMasks(masks, height, width, flags)
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def _check_unmoved(results: Json) -> None:
    """Check that no geometric transform came before: the masks of the json would be elsewhere."""
    ours, now = (tuple(results.get(key, ())) for key in ("ori_shape", "img_shape"))
    moved = results.get("flip") or results.get("homography_matrix") is not None
    if moved or (now and now != ours):
        raise ValueError(
            "Expected LoadTrueMasks to come before the transforms that move the image, but it was "
            f"resized, flipped or cut before: its height and width were {ours} and are {now} "
            "now. Put dict(type='LoadTrueMasks') right after LoadAnnotations in the pipeline."
        )
