"""Data sets for the train and test scripts of mmdet."""

from .box_crops import BoxCropDataset, CropBox
from .coco_boxes import CocoBoxDataset
from .crop_aware_boxes import CropAwareBoxes, PackCutSides
from .image_loading import LoadImageAsLabelled
from .mask_balance import MaskBalancedDataset
from .pair_datasets import KeypointPairDataset, ObjectPairDataset
from .true_mask_loading import LoadTrueMasks

__all__ = [
    "BoxCropDataset",
    "CocoBoxDataset",
    "CropAwareBoxes",
    "CropBox",
    "KeypointPairDataset",
    "LoadImageAsLabelled",
    "LoadTrueMasks",
    "MaskBalancedDataset",
    "ObjectPairDataset",
    "PackCutSides",
]
