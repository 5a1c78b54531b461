"""VOC12's mask AP as a registered metric."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import torch
from mmdet.registry import METRICS
from mmdet.structures.mask import encode_mask_results
from mmengine.evaluator import BaseMetric
from mmengine.fileio import get_local_path
from mmengine.logging import print_log

from mmdet_discobox.annotation_files.coco_reading import read_coco
from mmdet_discobox.utils.types import Json

from .coco_masks import annotations_without_mask, objects_by_image
from .mask_matching import check_matcher
from .voc_instance_ap import (
    Detections,
    ImageEvaluation,
    Objects,
    average_precisions,
    evaluate_image,
)


@METRICS.register_module()
class VOCInstanceMetric(BaseMetric):
    """Mask AP at fixed IoU thresholds, averaged over classes.

    Each image is evaluated when it is predicted, which stores a few bytes per detection. See
    :mod:`.voc_instance_ap` for void pixels and crowd regions. Images of the json without a
    prediction are excluded, with a warning. Classes without objects in the predicted images are
    excluded from the mean.

    The results ``AP_25`` etc. are in [0, 1], or NaN without objects.

    Args:
        ann_file: COCO json with masks, for instance of ``tools/dataset_converters/voc12_sbd.py``.
        thresholds: IoU thresholds in (0, 1); the defaults are those of Table 2.
        matcher: "bbtp" as in the paper, or "sds", see :mod:`.mask_matching`.
        backend_args: arguments of mmengine's file backend, for a json in remote storage.
        **kwargs: ``collect_device``, ``collect_dir`` and ``prefix`` of the parent.

    Raises:
        ValueError: if an argument is out of range or an annotation of the json has no mask.
        FileNotFoundError: if the json does not exist.
    """

    default_prefix = "voc_instance"

    def __init__(
        self,
        ann_file: str,
        *,
        thresholds: Sequence[float] = (0.25, 0.5, 0.7, 0.75),
        matcher: str = "bbtp",
        backend_args: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_matcher(matcher)
        if not thresholds or not all(0 < threshold < 1 for threshold in thresholds):
            raise ValueError(f"Expected `thresholds` in (0, 1), but got {thresholds!r}.")
        self.ann_file = ann_file
        self.thresholds = tuple(thresholds)
        self.matcher = matcher
        self._dataset = _load_with_masks(ann_file, backend_args)
        self._objects: dict[Hashable, Objects] = {}

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """Evaluate the detections of a batch.

        Args:
            data_batch: not used.
            data_samples: dicts with ``img_id`` and ``pred_instances``: ``masks``, (N, H, W) of the
                original image's size or N RLE, ``labels`` (N,), and ``scores`` (N,) or
                ``mask_scores`` (N,), which take precedence.

        Raises:
            ValueError: if an image is not in the json or its masks have another size.
        """
        classes = self._classes()
        if not self._objects:
            self._objects = objects_by_image(self._dataset, classes=classes)
        for sample in data_samples:
            evaluation = evaluate_image(
                _detections(sample["pred_instances"]),
                self._objects_of(sample["img_id"]),
                num_classes=len(classes),
                thresholds=self.thresholds,
                matcher=self.matcher,
            )
            self.results.append(evaluation)

    def compute_metrics(self, results: list[ImageEvaluation]) -> dict[str, float]:
        """Compute the average precision at each threshold.

        Args:
            results: the evaluated images.

        Returns:
            The results described above.
        """
        if len(results) != len(self._dataset["images"]):
            print_log(
                f"{len(results)} of the {len(self._dataset['images'])} images of "
                f"'{self.ann_file}' were evaluated: the AP is computed on these images only.",
                logger="current",
                level=logging.WARNING,
            )
        precisions = average_precisions(
            results, num_classes=len(self._classes()), num_thresholds=len(self.thresholds)
        )
        classes = ~np.isnan(precisions).all(axis=0)
        means = precisions[:, classes].mean(axis=1) if classes.any() else precisions[:, 0]
        return {
            f"AP_{100 * threshold:g}": float(mean)
            for threshold, mean in zip(self.thresholds, means, strict=True)
        }

    def _classes(self) -> Sequence[str]:
        return (self.dataset_meta or {})["classes"]

    def _objects_of(self, image_id: Hashable) -> Objects:
        if image_id not in self._objects:
            raise ValueError(
                f"Expected image {image_id!r} in '{self.ann_file}', but it is missing. Evaluate "
                "with the json of the data set."
            )
        return self._objects[image_id]


def _load_with_masks(ann_file: str, backend_args: dict[str, Any] | None) -> Json:
    try:
        with get_local_path(ann_file, backend_args=backend_args) as path:
            dataset = read_coco(path, name=ann_file)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"Expected a COCO json with masks at '{ann_file}', but the file does not exist. Create "
            "the one of VOC12 with `tools/dataset_converters/voc12_sbd.py`."
        ) from error
    if missing := annotations_without_mask(dataset):
        raise ValueError(
            f"Expected masks in '{ann_file}', but {len(missing)} of its "
            f"{len(dataset['annotations'])} annotations have no usable `segmentation`, the first "
            f"has id {missing[0]['id']!r}. Pass a json with masks, or compute box AP with "
            "`CocoBoxMetric` and metric='bbox'."
        )
    return dataset


def _detections(instances: dict[str, Any]) -> Detections:
    masks = instances["masks"]
    if isinstance(masks, torch.Tensor):
        masks = encode_mask_results(masks.detach().cpu().numpy())
    scores = instances.get("mask_scores", instances["scores"])
    return Detections(
        masks=masks,
        labels=instances["labels"].cpu().numpy().astype(np.int64),
        scores=scores.detach().cpu().numpy().astype(np.float64),
    )
