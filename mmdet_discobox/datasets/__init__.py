"""Data sets for the train and test scripts of mmdet."""

from .box_crops import BoxCropDataset, CropBox
from .coco_boxes import CocoBoxDataset
from .crop_aware_boxes import CropAwareBoxes, PackCutSides
from .mask_balance import MaskBalancedDataset
from .pair_datasets import KeypointPairDataset, ObjectPairDataset
from .true_masks import LoadTrueMasks

__all__ = [
    "BoxCropDataset",
    "CocoBoxDataset",
    "CropAwareBoxes",
    "CropBox",
    "KeypointPairDataset",
    "LoadTrueMasks",
    "MaskBalancedDataset",
    "ObjectPairDataset",
    "PackCutSides",
]
