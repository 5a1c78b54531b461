"""Drawings of boxes, masks and correspondences."""

from .correspondence import DrawnMatch, draw_correspondence
from .pseudo_labels import draw_boxes, draw_masks, draw_panels, draw_pseudo_labels

__all__ = [
    "DrawnMatch",
    "draw_boxes",
    "draw_correspondence",
    "draw_masks",
    "draw_panels",
    "draw_pseudo_labels",
]
