"""Data sets for the train and test scripts of mmdet."""

from .coco_boxes import CocoBoxDataset
from .pair_datasets import KeypointPairDataset, ObjectPairDataset

__all__ = ["CocoBoxDataset", "KeypointPairDataset", "ObjectPairDataset"]
