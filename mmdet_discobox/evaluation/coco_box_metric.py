"""COCO's AP where the json has boxes alone."""

from __future__ import annotations

import logging
from typing import Any

from mmdet.evaluation import CocoMetric
from mmdet.registry import METRICS
from mmengine.logging import print_log
from pycocotools import mask as mask_utils

from mmdet_discobox.utils.types import Json

from .coco_masks import mask_code, without_mask


@METRICS.register_module()
class CocoBoxMetric(CocoMetric):
    """A :class:`mmdet.evaluation.CocoMetric` for a json that may lack masks.

    Differences to its parent, which ends a whole test with ``KeyError: 'segmentation'``:

    1. If mask AP is asked for and annotations have no mask, that is told before the first image.
    2. Or, if so wanted, box AP alone is computed, and a warning tells it.
    3. ``iscrowd`` and ``area`` may be missing. No ``iscrowd`` is no crowd; the area, by which COCO
       sorts objects into small, medium and large, is that of the mask if there is one, else that
       of the box.
    4. What ``ignore`` marks is a crowd, as in training. pycocotools overwrites the flag and counts
       such an object as missed.
    5. The ids of annotations may be 0 or strings. pycocotools takes a match with the id 0 for
       none, and fails on strings at the end of the test.

    Args:
        ann_file: COCO json.
        metric: "bbox", "segm", or a list of several, as for the parent.
        without_masks: What to do if mask AP is asked for but annotations have no mask: "raise",
            or compute the other metrics, "boxes".
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
        missing = without_mask(dataset)
        if "segm" in self.metrics and missing and not self.format_only:
            message = (
                f"{len(missing)} of the {len(dataset['annotations'])} annotations of '{ann_file}' "
                f"have no `segmentation`, first that with id {missing[0]['id']!r}"
            )
            self._leave_out_masks(message, without_masks)
        _complete(dataset)
        self._index()

    def _leave_out_masks(self, message: str, without_masks: str) -> None:
        others = [metric for metric in self.metrics if metric != "segm"] or ["bbox"]
        if without_masks == "raise":
            raise ValueError(
                f"Expected masks to evaluate metric='segm' on, but {message}. Give a json with "
                f"masks, or ask for metric={others!r}, or for without_masks='boxes'."
            )
        print_log(
            f"{message}: there is no mask AP, {others} alone will be evaluated.",
            logger="current",
            level=logging.WARNING,
        )
        self.metrics = others

    def _index(self) -> None:
        """Index the annotations anew, by their new ids."""
        coco = self._coco_api
        coco.createIndex()
        coco.img_ann_map, coco.cat_img_map = coco.imgToAnns, coco.catToImgs


def _complete(dataset: Json) -> None:
    """Give the annotations the ``id``, ``iscrowd`` and ``area`` that COCO's evaluation reads."""
    sizes = {image["id"]: (image["height"], image["width"]) for image in dataset["images"]}
    for number, annotation in enumerate(dataset.get("annotations", []), 1):
        annotation["id"] = number  # 0 would be "not matched"
        annotation["iscrowd"] = int(bool(annotation.get("iscrowd") or annotation.get("ignore")))
        if "area" not in annotation:
            annotation["area"] = _area(annotation, *sizes[annotation["image_id"]])


def _area(annotation: Json, height: int, width: int) -> float:
    if not annotation.get("segmentation"):
        return float(annotation["bbox"][2] * annotation["bbox"][3])
    code = mask_code(annotation["segmentation"], height=height, width=width)
    return float(mask_utils.area(code))
