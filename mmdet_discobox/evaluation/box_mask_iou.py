"""How well masks fit the objects of given boxes: the measure of a box labeller."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmdet.registry import METRICS
from mmengine.evaluator import BaseMetric

from mmdet_discobox.functional import box_masks
from mmdet_discobox.utils.types import Json

from .arrays import Flags, to_array


@METRICS.register_module()
class BoxMaskIoU(BaseMetric):
    """Mean IoU of predicted and true masks, one for each box, and the share above a threshold.

    For networks that predict a mask for every box of ``gt_instances``, in its order: both masks
    are cut by the box. Nothing is detected, so there is no precision and no recall. The pixels of a
    box are those of :func:`.box_masks`, by which boxes are labelled: a box between two pixel
    centres has the pixel or line in its middle.

    Args:
        threshold: IoU above which a mask counts as good.
        collect_device: as for the parent.
        prefix: as for the parent.

    Raises:
        ValueError: if ``threshold`` is not in [0, 1].
    """

    default_prefix = "labels"

    def __init__(
        self, threshold: float = 0.75, collect_device: str = "cpu", prefix: str | None = None
    ) -> None:
        if not 0 <= threshold <= 1:
            raise ValueError(f"Expected `threshold` in [0, 1] but got {threshold}.")
        super().__init__(collect_device, prefix)
        self.threshold = threshold

    def process(self, data_batch: Any, data_samples: Sequence[Json]) -> None:
        """Collect the IoUs of a batch.

        Raises:
            ValueError: if a sample has no true masks.
        """
        for sample in data_samples:
            given, predicted = sample["gt_instances"], sample["pred_instances"]
            if "masks" not in given:
                raise ValueError(
                    "Expected true masks in `gt_instances` but got none. Use LoadAnnotations("
                    "with_mask=True) on a data set with masks, for example a CocoDataset."
                )
            masks = to_array(predicted["masks"], bool)
            truth = given["masks"].to_ndarray().astype(bool)
            boxes = torch.from_numpy(to_array(given["bboxes"], np.float32)).reshape(-1, 4)
            inner = box_masks(boxes, truth.shape[-2:]).numpy()
            # one result per sample: mmengine cuts what it collects to the number of samples
            self.results.append([_iou(*each) for each in zip(masks, truth, inner, strict=True)])

    def compute_metrics(self, results: list[list[float]]) -> dict[str, float]:
        """Return ``mean_iou`` and ``good``, the share of masks above the threshold.

        Raises:
            ValueError: if the samples have no boxes.
        """
        ious = np.array([iou for sample in results for iou in sample])
        if not len(ious):
            raise ValueError("Expected boxes to compare the masks of, but no sample has any.")
        return dict(mean_iou=float(ious.mean()), good=float((ious > self.threshold).mean()))


def _iou(mask: Flags, truth: Flags, box: Flags) -> float:
    """Compute the IoU of two masks ``(H, W)`` in the pixels of a box."""
    union = ((mask | truth) & box).sum()
    return float((mask & truth & box).sum() / max(union, 1))
