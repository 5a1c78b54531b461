from __future__ import annotations

import pytest
import torch

from mmdet_discobox.functional import lift_to_box


def naive_lift(logits, inside, floor):
    """One row after the other, then one column after the other."""
    out = logits.double().clone()
    for transposed in (False, True):
        grid, box = (out.T, inside.T) if transposed else (out, inside)
        for row, cells in zip(grid, box, strict=True):
            if cells.any():
                row[cells] += max(0.0, floor - float(row[cells].max()))
    return out


@pytest.fixture
def masks():
    torch.manual_seed(0)
    inside = torch.zeros(3, 7, 8, dtype=torch.bool)
    inside[0, 1:6, 2:7] = True
    inside[1] = True  # the third box has no cell
    return torch.randn(3, 7, 8) - 1, inside


@pytest.mark.parametrize("floor", [0.0, 0.5])
def test_equals_the_loop(masks, floor):
    logits, inside = masks
    ours = lift_to_box(logits, inside, floor=floor)
    for n in range(3):
        naive = naive_lift(logits[n], inside[n], floor)
        torch.testing.assert_close(ours[n].double(), naive, rtol=1e-5, atol=1e-6)


def test_every_bag_reaches_the_floor_and_the_outside_stays(masks):
    logits, inside = masks
    lifted = lift_to_box(logits, inside, floor=0.5)
    box = lifted.masked_fill(~inside, -torch.inf)
    for axis in (-1, -2):
        assert (box.amax(axis)[inside.any(axis)] >= 0.5 - 1e-5).all()
    assert torch.equal(lifted[~inside], logits[~inside])
    assert lifted.isfinite().all()


def test_a_tight_mask_is_left_alone(masks):
    logits, inside = masks
    once = lift_to_box(logits, inside, floor=0.5)
    torch.testing.assert_close(lift_to_box(once, inside, floor=0.5), once)


def test_the_order_within_a_row_stays():
    logits = torch.tensor([[[-3.0, -2.0, -4.0], [1.0, 1.0, 1.0]]])
    inside = torch.ones(1, 2, 3, dtype=torch.bool)
    out = lift_to_box(logits, inside, floor=0.0)
    torch.testing.assert_close(out[0, 0], torch.tensor([-1.0, 0.0, -2.0]))


def test_rejects_wrong_shapes():
    with pytest.raises(ValueError, match=r"Expected `inside` of shape \(N, H, W\)"):
        lift_to_box(torch.zeros(1, 4, 4), torch.ones(1, 4, 5), floor=0.0)
