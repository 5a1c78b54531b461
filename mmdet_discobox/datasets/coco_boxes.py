"""COCO json with boxes alone."""

from __future__ import annotations

from mmdet.datasets import CocoDataset
from mmdet.registry import DATASETS


@DATASETS.register_module()
class CocoBoxDataset(CocoDataset):
    """COCO json whose annotations need neither ``segmentation`` nor ``area``."""

    def parse_data_info(self, raw_data_info: dict) -> dict:
        """Fill in the area and drop the masks."""
        annotations = []
        for annotation in raw_data_info["raw_ann_info"]:
            boxed = {k: v for k, v in annotation.items() if k != "segmentation"}
            boxed["area"] = boxed["bbox"][2] * boxed["bbox"][3]
            annotations.append(boxed)
        return super().parse_data_info({**raw_data_info, "raw_ann_info": annotations})
