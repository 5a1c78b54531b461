"""Public data sets, as downloaded, to COCO json."""

from __future__ import annotations

from .exclusion import read_exclusion, read_pf_pascal_test
from .voc12_sbd import convert_voc12_sbd

__all__ = ["convert_voc12_sbd", "read_exclusion", "read_pf_pascal_test"]
