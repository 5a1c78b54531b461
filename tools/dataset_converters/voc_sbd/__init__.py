"""Conversion of VOC 2012 and SBD to COCO json."""

from __future__ import annotations

from .conversion import convert_voc12_sbd
from .exclusion import read_exclusion, read_pf_pascal_test

__all__ = ["convert_voc12_sbd", "read_exclusion", "read_pf_pascal_test"]
