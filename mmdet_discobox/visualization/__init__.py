"""Pictures to look at."""

from .correspondence import MatchedMasks, draw_correspondence
from .label_report import ReportItem, write_label_report
from .pseudo_labels import draw_boxes, draw_masks, draw_panels, draw_pseudo_labels

__all__ = [
    "MatchedMasks",
    "ReportItem",
    "draw_boxes",
    "draw_correspondence",
    "draw_masks",
    "draw_panels",
    "draw_pseudo_labels",
    "write_label_report",
]
