"""Boxes in, masks out: labelling of images and of whole data sets."""

from .auto_labeler import AutoLabeler
from .boxed_image import BoxedImage, BoxMask
from .label_run import LabelRun
from .labelled_boxes import LabelledBoxes, add_masks
from .masks_from_boxes import MasksFromBoxes
from .review.reviewed_masks import keep_accepted

__all__ = [
    "AutoLabeler",
    "BoxMask",
    "BoxedImage",
    "LabelRun",
    "LabelledBoxes",
    "MasksFromBoxes",
    "add_masks",
    "keep_accepted",
]
