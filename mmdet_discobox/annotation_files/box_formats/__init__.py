"""Read boxes of the common annotation formats as a COCO json."""

from __future__ import annotations

from .reading import read_boxes
from .voc_xml import read_voc_xml
from .yolo_txt import read_yolo_txt

__all__ = ["read_boxes", "read_voc_xml", "read_yolo_txt"]
