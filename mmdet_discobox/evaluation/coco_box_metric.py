"""COCO's AP on annotations without masks."""

from __future__ import annotations

import logging
from typing import Any

from mmdet.evaluation import CocoMetric
from mmdet.registry import METRICS
from mmengine.logging import print_log
from pycocotools import mask as mask_utils

from mmdet_discobox.utils.rle import to_rle
from mmdet_discobox.utils.types import Json

from .coco_masks import annotations_without_mask


@METRICS.register_module()
class CocoBoxMetric(CocoMetric):
    """A :class:`mmdet.evaluation.CocoMetric` that supports annotations without masks.

    Differences from the parent, which fails at the end of the test with
    ``KeyError: 'segmentation'``:

    1. If mask AP is requested and annotations have no mask, raises before the first image,
    2. or, with ``without_masks="boxes"``, warns and computes only the other metrics.
    3. ``iscrowd`` and ``area`` may be missing. The default of ``iscrowd`` is 0; the area, by which
       COCO groups objects into small, medium and large, is that of the mask if there is one, else
       that of the box.
    4. Objects marked by ``ignore`` are crowds, as in training. pycocotools overwrites the flag and
       counts such objects as missed.
    5. Annotation ids may be 0 or strings. pycocotools treats a match with id 0 as no match, and
       fails on strings at the end of the test.

    Args:
        ann_file: COCO json.
        metric: "bbox", "segm", or a list of several, as for the parent.
        without_masks: Behaviour if mask AP is requested but annotations have no mask: "raise", or
            "boxes" to compute only the other metrics.
        **kwargs: Arguments of the parent.

    Raises:
        ValueError: If masks are missing, or ``without_masks`` is neither of the two.
    """

    metrics: list[str]

    def __init__(
        self,
        ann_file: str,
        metric: str | list[str] = "bbox",
        *,
        without_masks: str = "raise",
        **kwargs: Any,
    ) -> None:
        if without_masks not in ("raise", "boxes"):
            raise ValueError(
                f"Expected `without_masks` to be 'raise' or 'boxes', but got {without_masks!r}."
            )
        super().__init__(ann_file=ann_file, metric=metric, **kwargs)
        dataset = self._coco_api.dataset
        missing = annotations_without_mask(dataset)
        if "segm" in self.metrics and missing and not self.format_only:
            message = (
                f"{len(missing)} of the {len(dataset['annotations'])} annotations of '{ann_file}' "
                f"have no `segmentation`, the first has id {missing[0]['id']!r}"
            )
            self._exclude_mask_ap(message, without_masks)
        _fill_missing_fields(dataset)
        self._rebuild_index()

    def _exclude_mask_ap(self, message: str, without_masks: str) -> None:
        others = [metric for metric in self.metrics if metric != "segm"] or ["bbox"]
        if without_masks == "raise":
            raise ValueError(
                f"Expected annotations with masks for metric='segm', but {message}. Pass a json "
                f"with masks, metric={others!r}, or without_masks='boxes'."
            )
        print_log(
            f"{message}: mask AP is not computed, only {others}.",
            logger="current",
            level=logging.WARNING,
        )
        self.metrics = others

    def _rebuild_index(self) -> None:
        """Rebuild the index of annotations after their ids have changed."""
        coco = self._coco_api
        coco.createIndex()
        coco.img_ann_map, coco.cat_img_map = coco.imgToAnns, coco.catToImgs


def _fill_missing_fields(dataset: Json) -> None:
    """Set the ``id``, ``iscrowd`` and ``area`` that COCO's evaluation reads."""
    sizes = {image["id"]: (image["height"], image["width"]) for image in dataset["images"]}
    for number, annotation in enumerate(dataset.get("annotations", []), 1):
        annotation["id"] = number  # pycocotools treats 0 as "not matched"
        annotation["iscrowd"] = int(bool(annotation.get("iscrowd") or annotation.get("ignore")))
        if "area" not in annotation:
            annotation["area"] = _area(annotation, *sizes[annotation["image_id"]])


def _area(annotation: Json, height: int, width: int) -> float:
    if not annotation.get("segmentation"):
        return float(annotation["bbox"][2] * annotation["bbox"][3])
    return float(mask_utils.area(to_rle(annotation["segmentation"], height=height, width=width)))
