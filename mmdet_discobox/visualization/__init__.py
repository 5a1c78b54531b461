"""Drawings of boxes, masks and correspondences, and the page for reviewing masks."""

from .correspondence import DrawnMatch, draw_correspondence
from .label_report import ReportItem, write_label_report
from .pseudo_labels import draw_boxes, draw_masks, draw_panels, draw_pseudo_labels

__all__ = [
    "DrawnMatch",
    "ReportItem",
    "draw_boxes",
    "draw_correspondence",
    "draw_masks",
    "draw_panels",
    "draw_pseudo_labels",
    "write_label_report",
]
