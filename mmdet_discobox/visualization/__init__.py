"""Pictures to look at."""

from .correspondence import DrawnMatch, draw_correspondence
from .label_report import ReportItem, write_label_report
from .pseudo_labels import draw_boxes, draw_masks, draw_panels, draw_taught_image

__all__ = [
    "DrawnMatch",
    "ReportItem",
    "draw_boxes",
    "draw_correspondence",
    "draw_masks",
    "draw_panels",
    "draw_taught_image",
    "write_label_report",
]
