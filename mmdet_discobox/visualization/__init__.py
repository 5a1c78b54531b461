"""Pictures to look at."""

from .pseudo_labels import draw_boxes, draw_masks, draw_panels, draw_taught_image

__all__ = ["draw_boxes", "draw_masks", "draw_panels", "draw_taught_image"]
