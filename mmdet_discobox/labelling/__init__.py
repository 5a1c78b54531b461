"""Boxes in, masks out: labelling of images and of whole data sets."""

from .auto_labeler import AutoLabeler
from .boxed_image import BoxedImage, BoxMask
from .label_run import LabelRun
from .label_truth import TruthReport, compare_with_truth
from .labelled_boxes import LabelledBoxes, add_masks, keep_accepted

__all__ = [
    "AutoLabeler",
    "BoxMask",
    "BoxedImage",
    "LabelRun",
    "LabelledBoxes",
    "TruthReport",
    "add_masks",
    "compare_with_truth",
    "keep_accepted",
]
