"""File formats of the labelled data set."""

from __future__ import annotations

from .writing import FORMATS, check_images, check_output, write_masks

__all__ = ["FORMATS", "check_images", "check_output", "write_masks"]
