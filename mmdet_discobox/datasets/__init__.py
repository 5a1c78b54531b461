"""Data sets that mmdet's scripts build."""

from .coco_boxes import CocoBoxDataset
from .keypoint_pair_dataset import KeypointPairDataset
from .object_pair_dataset import ObjectPairDataset

__all__ = ["CocoBoxDataset", "KeypointPairDataset", "ObjectPairDataset"]
