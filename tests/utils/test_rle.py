"""Run lengths of COCO's masks."""

from __future__ import annotations

import numpy as np
from pycocotools import mask as coco_mask

from mmdet_discobox.utils.rle import run_lengths


def test_run_lengths_are_those_of_pycocotools():
    rng = np.random.default_rng(0)
    for density in (0.02, 0.5, 0.98):
        mask = rng.random((40, 50)) < density
        counts = coco_mask.encode(np.asfortranarray(mask, np.uint8))["counts"].decode()
        flat = mask.T.ravel().astype(int)
        changes = np.flatnonzero(np.diff(flat)) + 1
        runs = np.diff([0, *changes, flat.size]).tolist()
        assert run_lengths(counts).tolist() == ([0, *runs] if flat[0] else runs)
