from __future__ import annotations

import math

import pytest
import torch

from mmdet_discobox.labelling.mask_quality import (
    COLOURS,
    DETECTOR,
    LABELLER,
    QualityModel,
    loneliness,
    mask_quality,
    mask_signals,
)
from mmdet_discobox.structures import BoxObjects

SIZE = 32


def square(low, high):
    mask = torch.zeros(1, SIZE, SIZE)
    mask[:, low:high, low:high] = 1
    return mask


def colours_of(mask):
    return torch.stack([60 * mask, 0 * mask, 0 * mask], 1) + 20


def signals_of(mask, *, probs=None, colours=None, network=None, inside=None):
    signals = mask_signals(
        mask,
        mask if probs is None else probs,
        colours_of(mask) if colours is None else colours,
        network=mask if network is None else network,
        inside=torch.ones_like(mask, dtype=torch.bool) if inside is None else inside,
    )
    return {**signals, "alone": torch.ones(len(mask))}


def test_expected_iou_by_hand():
    """Two sure pixels and two of a half: 2 / (2 + 2 * 0.5) = 2 / 3."""
    mask = torch.zeros(1, SIZE, SIZE)
    mask[0, 10, 10:12] = 1
    probs = mask.clone()
    probs[0, 11, 10:12] = 0.5
    assert signals_of(mask, probs=probs)["certainty"].item() == pytest.approx(2 / 3)
    assert signals_of(mask, network=probs)["agreement"].item() == pytest.approx(2 / 3)


def test_a_network_that_disagrees_lowers_the_agreement_alone():
    mask = square(8, 24)
    agrees, differs = signals_of(mask), signals_of(mask, network=square(8, 16))
    assert {k for k in agrees if agrees[k] != differs[k]} == {"agreement"}
    assert differs["agreement"] < agrees["agreement"]


def test_a_network_that_is_unsure_of_its_own_mask_has_a_weaker_signal():
    mask = square(8, 24)
    unsure = signals_of(mask, network=0.6 * mask + 0.2)["network"]
    assert unsure < signals_of(mask, network=0.9 * mask + 0.05)["network"]


def test_a_mask_along_the_edges_of_the_image_is_better_than_one_across():
    mask = square(8, 24)
    along, across = signals_of(mask), signals_of(mask, colours=colours_of(square(2, 16)))
    for name in ("separation", "contrast"):
        assert along[name] > across[name]


def test_a_ragged_mask_is_less_compact():
    stripes = square(8, 24)
    stripes[:, ::2] = 0
    assert signals_of(stripes)["compactness"] < signals_of(square(8, 24))["compactness"]


def test_reach_by_hand():
    """Of a box of 16 x 16 cells, the mask reaches 12 rows and 4 columns: 3/4 of 1/4."""
    mask, box = torch.zeros(1, SIZE, SIZE), square(8, 24) > 0
    mask[:, 10:22, 9:13] = 1
    mask[:, 2:5] = 1  # cells outside the box do not count
    assert signals_of(mask, inside=box)["reach"].item() == pytest.approx(3 / 16)
    assert signals_of(square(8, 24), inside=box)["reach"] == 1
    assert signals_of(mask, inside=box & False)["reach"] == 0


def objects_of(*boxes):
    boxes = torch.tensor(boxes, dtype=torch.float).view(-1, 4)
    zeros = torch.zeros(len(boxes), dtype=torch.long)
    return BoxObjects(boxes, zeros, zeros, torch.tensor([[90.0, 90.0]]), zeros - 1)


def test_boxes_that_overlap_are_less_alone():
    """The second box covers half of the first: IoU 1/3. The last is given twice."""
    first, second, far = (0, 0, 20, 20), (10, 0, 30, 20), (50, 50, 60, 70)
    boxes = objects_of(first, second, far, (70, 0, 80, 80), (70, 0, 80, 80))
    assert loneliness(boxes, boxes).tolist() == pytest.approx([2 / 3, 2 / 3, 1, 0.3, 0.3])
    assert loneliness(boxes[1:3], boxes).tolist() == pytest.approx([2 / 3, 1])
    one = objects_of(first)
    assert loneliness(one, one).tolist() == [1]
    assert loneliness(objects_of(), objects_of()).shape == (0,)


def test_regression_by_hand():
    model = QualityModel(1.0, dict(a=0.5, b=2.0))
    found = model(dict(a=torch.tensor([0.25, 0.0]), b=torch.tensor([0.5, 1.0])))
    logits = [1 + 0.5 * math.log(0.25) + 2 * math.log(0.5), 1 + 0.5 * math.log(0.02)]
    assert found.tolist() == pytest.approx([1 / (1 + math.exp(-z)) for z in logits])


@pytest.mark.parametrize("model", [COLOURS, DETECTOR, LABELLER])
def test_no_signal_lowers_the_quality_and_the_best_mask_is_good(model):
    assert min(model.weights.values()) > 0
    best = model(dict.fromkeys(model.weights, torch.ones(1)))
    assert 0.75 < best.item() <= 1


def test_each_object_is_rated_by_the_source_of_its_coarse_mask():
    mask = square(8, 24).expand(2, -1, -1)
    signals = signals_of(mask)
    predicted = torch.tensor([True, False])
    rated = mask_quality(signals, predicted)
    assert rated.equal(torch.where(predicted, DETECTOR(signals), COLOURS(signals)))
    signals["views"] = torch.tensor([0.9, 0.2])
    assert mask_quality(signals, predicted)[0] == LABELLER(signals)[0]


def test_odd_masks_have_a_quality():
    flat = torch.full((1, 3, SIZE, SIZE), 50.0)
    predicted = torch.tensor([True])
    for mask in (torch.zeros(1, SIZE, SIZE), torch.ones(1, SIZE, SIZE), square(5, 6)):
        assert 0 <= mask_quality(signals_of(mask, colours=flat), predicted) <= 1
    nothing = torch.zeros(0, SIZE, SIZE)
    result = mask_quality(signals_of(nothing, colours=flat[:0]), predicted[:0])
    assert result.shape == (0,)


def test_wrong_shapes():
    mask = square(8, 24)
    with pytest.raises(ValueError, match="colours"):
        mask_signals(mask, mask, mask, network=mask, inside=mask > 0)
