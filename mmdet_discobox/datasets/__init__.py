"""Data sets that need boxes alone."""

from .coco_boxes import CocoBoxDataset

__all__ = ["CocoBoxDataset"]
