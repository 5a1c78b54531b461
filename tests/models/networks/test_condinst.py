"""CondInst: how many masks train."""

from __future__ import annotations

import pytest
import torch
from tiny import batch, build, tiny_condinst

from mmdet_discobox.models.detectors import look
from mmdet_discobox.structures import BoxObjects


@pytest.mark.parametrize(
    "limits",
    [
        dict(max_masks_to_train=3, topk_masks_per_img=-1),
        dict(max_masks_to_train=-1, topk_masks_per_img=3),
        dict(max_masks_to_train=-1, topk_masks_per_img=-1),
    ],
)
def test_each_limit_of_the_stock_head_bounds_the_masks_of_an_image(limits):
    config = tiny_condinst()
    config.mask_head.update(limits)
    detector = build(config)
    data = detector.data_preprocessor(batch((3, 0)), True)
    objects = BoxObjects.from_samples(data["data_samples"])
    with torch.no_grad():
        view = look(detector, data["inputs"], objects)
    positive = len(view.positives.object_inds)
    assert positive > 3
    assert len(view.proposals) == (3 if max(limits.values()) > 0 else positive)
