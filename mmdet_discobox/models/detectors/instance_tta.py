"""Test-time augmentation of detectors that predict masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox_flip, bbox_overlaps
from mmengine.model import BaseTTAModel
from mmengine.structures import InstanceData
from torch import Tensor

from mmdet_discobox.functional import masks_to_boxes

#: flipped axes of ``(N, H, W)`` masks
_FLIPPED_AXES = {"horizontal": (-1,), "vertical": (-2,), "diagonal": (-2, -1)}
#: longest side of the grid on which masks are compared, in cells
_GRID_SIZE = 256


@MODELS.register_module()
class InstanceTTAModel(BaseTTAModel):
    """Predict several views of an image, flipped or scaled, and merge the masks of each object.

    Not in the paper. mmdet's ``DetTTAModel`` does the same for boxes, and rejects masks. For the
    test script of mmdet with ``--tta``, and any detector with masks::

        tta_model = dict(type="InstanceTTAModel")

    Detections of the same class in different views are one object if the IoU of their boxes reaches
    ``iou_threshold``, or that of their masks if the network has no boxes of its own (SOLOv2). A
    CondInst matched by masks measured worse. An object has at most one detection of each view, so
    that what a view predicts twice remains twice, and one view alone gives the plain predictions.
    Merged are

    - the score, and the score of the mask of a YOLACT++: the mean over all views, 0 in those that
      miss the object,
    - the mask: pixels that more than half of the views contain, weighted by their scores,
    - the box: the mean weighted by the scores, or the box of the merged mask without own boxes.

    Args:
        iou_threshold: smallest IoU of an object's detections.
        max_per_img: number of merged detections of an image.
        **kwargs: ``module``, the detector, which mmdet's test script sets, and
            ``data_preprocessor``.

    Raises:
        ValueError: if ``iou_threshold`` is not in (0, 1].
    """

    def __init__(
        self, *, iou_threshold: float = 0.5, max_per_img: int = 100, **kwargs: Any
    ) -> None:
        if not 0 < iou_threshold <= 1:
            raise ValueError(f"Expected `iou_threshold` in (0, 1] but got {iou_threshold}.")
        super().__init__(**kwargs)
        self.iou_threshold = iou_threshold
        self.max_per_img = max_per_img

    @torch.no_grad()
    def merge_preds(
        self, data_samples_list: Sequence[Sequence[DetDataSample]]
    ) -> list[DetDataSample]:
        """Merge the predictions of the views of each image.

        Args:
            data_samples_list: for each image the samples of its views, with predictions in pixels
                of the original image, flipped as the view.

        Returns:
            For each image the sample of a view that is not flipped, if there is one, with the
            merged ``pred_instances``: ``bboxes``, ``scores``, ``labels`` and boolean ``masks``,
            and ``mask_scores`` if a view has them, by falling score.

        Raises:
            ValueError: if a sample has no ``flip`` in its meta information, or no boolean masks.
        """
        merged = []
        for samples in data_samples_list:
            views = [_unflipped(sample) for sample in samples]
            sample = min(samples, key=lambda sample: bool(sample.flip))
            rescored = any("mask_scores" in each.pred_instances for each in samples)
            sample.pred_instances = self._merge_views(views)
            if not rescored:
                del sample.pred_instances.mask_scores
            merged.append(sample)
        return merged

    def _merge_views(self, views: Sequence[InstanceData]) -> InstanceData:
        """Merge the predictions of the views of one image, which are not flipped any more."""
        found = InstanceData.cat(list(views))
        sizes = [len(view) for view in views]
        view_inds = torch.arange(len(views)).repeat_interleave(torch.tensor(sizes))
        if self.module.with_bbox:
            overlaps = bbox_overlaps(found.bboxes, found.bboxes)
        else:
            overlaps = _mask_overlaps(found.masks, sizes)
        overlaps[found.labels[:, None] != found.labels] = -1  # never one object
        clusters = cluster_views(
            overlaps.cpu(), found.scores.cpu(), view_inds, threshold=self.iou_threshold
        )
        totals = [found.scores[members].sum() for members in clusters]
        scores = torch.stack(totals) / len(views) if totals else found.scores
        scores, order = scores.sort(descending=True, stable=True)
        chosen = [clusters[index] for index in order[: self.max_per_img].tolist()]
        merged = self._merged_objects(found, chosen)
        merged.scores = scores[: self.max_per_img]
        merged.mask_scores /= len(views)
        return merged

    def _merged_objects(self, found: InstanceData, clusters: Sequence[Tensor]) -> InstanceData:
        """Merge the detections of each cluster, given their indices; add up the scores of masks."""
        merged = InstanceData(mask_scores=found.mask_scores.new_zeros(len(clusters)))
        merged.labels = found.labels.new_zeros(len(clusters))
        merged.bboxes = found.bboxes.new_zeros(len(clusters), 4)
        merged.masks = found.masks.new_zeros(len(clusters), *found.masks.shape[1:])
        for index, members in enumerate(clusters):
            # the members of a score of 0, which a test_cfg without a threshold keeps, count alike
            weights = found.scores[members].clamp_min(torch.finfo(found.scores.dtype).tiny)
            weights = weights / weights.sum()
            merged.labels[index] = found.labels[members[0]]
            merged.mask_scores[index] = found.mask_scores[members].sum()
            merged.bboxes[index] = (weights[:, None] * found.bboxes[members]).sum(0)
            votes = (weights[:, None, None] * found.masks[members]).sum(0)
            merged.masks[index] = votes > 0.5
        if not self.module.with_bbox:  # a network without a box head takes boxes from its masks
            merged.bboxes = masks_to_boxes(merged.masks).to(merged.bboxes)
        return merged


def cluster_views(
    overlaps: Tensor, scores: Tensor, view_inds: Tensor, *, threshold: float
) -> list[Tensor]:
    """Group the detections of several views by object, greedily by falling score.

    The best detection that is left takes, from each other view, the detection left there with the
    largest overlap.

    Args:
        overlaps: ``(N, N)``, symmetric; negative if two detections must not be in one group.
        scores: ``(N,)``.
        view_inds: ``(N,)`` view of each detection, counted from 0.
        threshold: smallest overlap with the best detection of the group, above 0.

    Returns:
        Indices of each group, the best detection first; every detection is in one group.
    """
    views = view_inds == view_inds.unique()[:, None]  # (V, N)
    left = torch.ones_like(view_inds, dtype=torch.bool)
    clusters = []
    for seed in scores.argsort(descending=True, stable=True).tolist():
        if left[seed]:
            candidates = views & left & (view_inds != view_inds[seed])
            best, indices = torch.where(candidates, overlaps[seed], -1.0).max(1)
            members = torch.cat([torch.tensor([seed]), indices[best >= threshold]])
            left[members] = False
            clusters.append(members)
    return clusters


def _unflipped(sample: DetDataSample) -> InstanceData:
    """Copy the predictions of a view, and undo its flip."""
    if "flip" not in sample.metainfo_keys():
        raise ValueError(
            "Expected `flip` in the meta information of each view but it has "
            f"{sorted(sample.metainfo_keys())}. Add 'flip' and 'flip_direction' to `meta_keys` of "
            "`PackDetInputs` in `tta_pipeline`, and `RandomFlip` with `prob=0.0` if no view is "
            "flipped."
        )
    found = sample.pred_instances
    masks = found.get("masks")
    if masks is None or (len(masks) and masks.dtype != torch.bool):
        kind = "none" if masks is None else str(masks.dtype)
        raise ValueError(
            f"Expected boolean masks in the predictions but got {kind}. For a detector of boxes "
            "set `tta_model.type` to 'DetTTAModel'; for masks of probabilities set the threshold "
            "in `model.test_cfg`."
        )
    masks, boxes = masks.bool(), found.bboxes
    if sample.flip:
        masks = masks.flip(_FLIPPED_AXES[sample.flip_direction])
        boxes = bbox_flip(boxes, sample.ori_shape, sample.flip_direction)
    # The labels of an empty result of mmdet's SOLOv2 are floats.
    return InstanceData(
        bboxes=boxes,
        scores=found.scores,
        mask_scores=found.get("mask_scores", found.scores),
        labels=found.labels.long(),
        masks=masks,
    )


def _mask_overlaps(masks: Tensor, sizes: Sequence[int]) -> Tensor:
    """Compute the IoU of all pairs of masks, a view at a time to bound the memory.

    Large masks are compared on a coarse grid whose cells contain any foreground, because the result
    only assigns detections to objects.
    """
    height, width = masks.shape[1:]
    scale = min(1.0, _GRID_SIZE / max(height, width))
    grid = (max(1, round(height * scale)), max(1, round(width * scale)))
    pooled = [
        F.adaptive_max_pool2d(part[None].float(), grid)[0].flatten(1)
        for part in masks.split(list(sizes))
        if len(part)
    ]
    cells = torch.cat(pooled) if pooled else masks.new_zeros((0, 1), dtype=torch.float)
    areas = cells.sum(1)
    shared = cells @ cells.T
    return shared / (areas[:, None] + areas - shared).clamp_min(1)
