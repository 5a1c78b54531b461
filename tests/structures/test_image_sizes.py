"""Sizes of images that a pipeline has padded, and the refinement of their predictions."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from mmdet_discobox.models.detectors.structured_teaching import StructuredTeachingMixin
from mmdet_discobox.structures import scale_factor, visible_size


@pytest.mark.parametrize(
    ("meta", "size"),
    [
        (dict(img_shape=(50, 70)), (50, 70)),
        (dict(img_shape=(64, 64), ori_shape=(100, 60), scale_factor=(0.64, 0.64)), (64, 38)),
        (dict(img_shape=(64, 64), ori_shape=(32, 64)), (32, 64)),
        (dict(img_shape=(64, 38), ori_shape=(100, 60), scale_factor=(0.64, 0.64)), (64, 38)),
    ],
)
def test_padding_of_the_pipeline_is_not_visible(meta, size):
    assert visible_size(DetDataSample(metainfo=meta)) == size


def test_the_scale_is_one_without_a_resize():
    assert scale_factor(DetDataSample(metainfo=dict(img_shape=(9, 9)))) == (1, 1)


def test_predictions_are_refined_on_the_visible_pixels():
    """mmdet's `Pad` is part of the image size, but not of the predicted masks."""
    seen = []
    detector = SimpleNamespace(
        prediction_refiner=lambda image, masks, scores: seen.append(image.shape) or masks,
        with_bbox=True,
    )
    sample = DetDataSample(metainfo=dict(img_shape=(64, 64), ori_shape=(32, 64)))
    masks = torch.ones(1, 32, 64, dtype=torch.bool)
    sample.pred_instances = InstanceData(masks=masks, scores=torch.ones(1))
    StructuredTeachingMixin._refine_predictions(detector, torch.zeros(3, 64, 64), sample)
    assert seen == [(3, 32, 64)]
