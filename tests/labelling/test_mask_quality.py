from __future__ import annotations

import pytest
import torch

from mmdet_discobox.labelling.mask_quality import mask_quality

SIZE = 32


def square(low, high):
    mask = torch.zeros(1, SIZE, SIZE)
    mask[:, low:high, low:high] = 1
    return mask


def colours_of(mask):
    return torch.stack([60 * mask, 0 * mask, 0 * mask], 1) + 20


def quality(masks, probs, colours, network=None):
    return mask_quality(
        masks,
        probs,
        colours,
        network=masks if network is None else network,
        predicted=torch.tensor([network is not None]),
    ).item()


def test_expected_iou_by_hand():
    """Two sure pixels and two of a half: 2 / (2 + 2 * 0.5) = 2 / 3; the other signals stay."""
    mask = torch.zeros(1, SIZE, SIZE)
    mask[0, 10, 10:12] = 1
    probs = mask.clone()
    probs[0, 11, 10:12] = 0.5
    colours = colours_of(mask)
    sure, less = quality(mask, mask, colours), quality(mask, probs, colours)
    assert less / sure == pytest.approx((2 / 3) ** 0.25, rel=1e-5)


def test_a_network_that_disagrees_lowers_the_quality():
    mask = square(8, 24)
    agrees = quality(mask, mask, colours_of(mask), network=mask)
    differs = quality(mask, mask, colours_of(mask), network=square(8, 16))
    assert differs < agrees


def test_a_mask_along_the_edges_of_the_image_is_better_than_one_across():
    mask = square(8, 24)
    assert quality(mask, mask, colours_of(mask)) > quality(mask, mask, colours_of(square(2, 16)))


def test_odd_masks_have_a_quality():
    flat = torch.full((1, 3, SIZE, SIZE), 50.0)
    for mask in (torch.zeros(1, SIZE, SIZE), torch.ones(1, SIZE, SIZE), square(5, 6)):
        assert 0 <= quality(mask, mask, flat) <= 1
    nothing = torch.zeros(0, SIZE, SIZE)
    empty = torch.zeros(0, dtype=torch.bool)
    result = mask_quality(nothing, nothing, flat[:0], network=nothing, predicted=empty)
    assert result.shape == (0,)


def test_wrong_shapes():
    mask = square(8, 24)
    with pytest.raises(ValueError, match="colours"):
        mask_quality(mask, mask, mask, network=mask, predicted=torch.tensor([True]))
