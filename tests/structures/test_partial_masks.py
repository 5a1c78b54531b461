"""Partial masks: the extents that recomputed boxes get after a crop."""

from __future__ import annotations

import numpy as np
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks

from mmdet_discobox.structures import PartialMasks
from mmdet_discobox.structures.partial_masks import tight_boxes


def test_tight_boxes_are_those_of_mmdet():
    rng = np.random.default_rng(0)
    for count in (0, 1, 5, 5):
        masks = (rng.random((count, 13, 17)) > 0.97).astype(np.uint8)
        expected = HorizontalBoxes.from_instance_masks(BitmapMasks(masks, 13, 17)).tensor
        assert np.array_equal(tight_boxes(masks), expected.numpy())


def test_only_a_crop_notes_extents():
    masks = np.zeros((2, 20, 30), np.uint8)
    masks[:, 4:16, 10:28] = 1
    partial = PartialMasks(masks, 20, 30, np.array([True, False]))
    cropped = partial.crop(np.array([15, 6, 25, 18]))
    assert cropped.uncut.tolist() == [[0, 0, 10, 10], [-5, -2, 13, 10]]
    assert partial.uncut is None
    assert cropped.flip().uncut is None
    assert cropped[1:].uncut is None
