from __future__ import annotations

import pytest
import torch

from mmdet_discobox.functional import doubt_fullness


def naive(logits, inside, above):
    out = logits.double().clone()
    for n in range(len(logits)):
        values = [
            float(v) for v, i in zip(logits[n].flatten(), inside[n].flatten(), strict=True) if i
        ]
        if not values:
            continue
        fill = sum(v > 0 for v in values) / len(values)
        weight = max(0.0, (fill - above) / (1 - above))
        out[n] -= weight * max(0.0, sum(values) / len(values))
    return out


@pytest.fixture
def masks():
    torch.manual_seed(0)
    inside = torch.zeros(4, 6, 7, dtype=torch.bool)
    inside[:3, 1:5, 2:7] = True
    logits = torch.randn(4, 6, 7)
    logits[1] += 1.0
    logits[2] += 4.0
    return logits, inside


@pytest.mark.parametrize("above", [0.0, 0.5, 0.8])
def test_equals_loops(masks, above):
    logits, inside = masks
    found = doubt_fullness(logits, inside, above=above)
    torch.testing.assert_close(found.double(), naive(logits, inside, above), rtol=1e-5, atol=1e-6)


def test_a_full_constant_becomes_unknown():
    logits = torch.full((1, 4, 4), 6.0)
    inside = torch.ones(1, 4, 4, dtype=torch.bool)
    assert doubt_fullness(logits, inside, above=0.65).abs().max() < 1e-5


def test_the_dark_corner_of_a_full_mask_turns_to_background():
    logits = torch.full((1, 8, 8), 6.0)
    logits[0, :2, :2] = 1.0
    out = doubt_fullness(logits, torch.ones_like(logits) > 0, above=0.65)
    assert (out[0, :2, :2] < -4).all()
    assert (out[0, 2:, 2:] > 0).all()


def test_sparse_masks_and_the_order_of_pixels_stay(masks):
    logits, inside = masks
    sparse = logits - 8
    assert torch.equal(doubt_fullness(sparse, inside, above=0.65), sparse)
    out = doubt_fullness(logits, inside, above=0.0)
    for n in range(4):
        assert torch.equal(out[n].flatten().argsort(), logits[n].flatten().argsort())


def test_rejects(masks):
    with pytest.raises(ValueError, match=r"`above` to be in \[0, 1\) but got 1"):
        doubt_fullness(*masks, above=1)
    with pytest.raises(ValueError, match="inside"):
        doubt_fullness(masks[0], masks[1][:2], above=0.5)
