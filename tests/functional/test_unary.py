"""Corrections of the unary term against loops, and their laws."""

from __future__ import annotations

import pytest
import torch

from mmdet_discobox.functional import normalise_logits, raise_empty_bags, suppress_full_masks


def naive_normalisation(logits, inside, rms):
    out = logits.double().clone()
    for n in range(len(logits)):
        box = [float(v) for v, i in zip(logits[n].flatten(), inside[n].flatten(), strict=True) if i]
        square = sum(v * v for v in box) / max(len(box), 1)
        out[n] *= rms / max(square, 1.0) ** 0.5
    return out


def test_normalisation_equals_loops(full_masks):
    logits, inside = full_masks
    result = normalise_logits(3 * logits, inside, rms=2.5)
    naive = naive_normalisation(3 * logits, inside, 2.5)
    torch.testing.assert_close(result.double(), naive, rtol=1e-5, atol=1e-6)


def test_normalisation_removes_the_temperature_of_a_confident_network(full_masks):
    logits, inside = full_masks[0][:3], full_masks[1][:3]  # the fourth box has no cell
    logits = logits / logits[inside].abs().min()  # each at least 1 in the box
    once = normalise_logits(logits, inside, rms=2.5)
    torch.testing.assert_close(normalise_logits(7 * logits, inside, rms=2.5), once)
    squares = (once.square() * inside).sum((1, 2)) / inside.sum((1, 2))
    torch.testing.assert_close(squares, torch.full((3,), 2.5**2))
    torch.testing.assert_close(normalise_logits(once, inside, rms=2.5), once)


def test_normalisation_does_not_amplify_an_undecided_network(full_masks):
    logits, inside = full_masks
    faint = logits / 100
    torch.testing.assert_close(normalise_logits(faint, inside, rms=2.5), 2.5 * faint)
    assert torch.equal(normalise_logits(torch.zeros_like(logits), inside, rms=2.5), logits * 0)


def test_normalisation_rejects_wrong_input(full_masks):
    with pytest.raises(ValueError, match="`rms` to be positive but got 0"):
        normalise_logits(*full_masks, rms=0)
    with pytest.raises(ValueError, match="inside"):
        normalise_logits(full_masks[0], full_masks[1][:2], rms=1.0)


def naive_suppression(logits, inside, above):
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
def full_masks():
    torch.manual_seed(0)
    inside = torch.zeros(4, 6, 7, dtype=torch.bool)
    inside[:3, 1:5, 2:7] = True
    logits = torch.randn(4, 6, 7)
    logits[1] += 1.0
    logits[2] += 4.0
    return logits, inside


@pytest.mark.parametrize("above", [0.0, 0.5, 0.8])
def test_suppression_equals_loops(full_masks, above):
    logits, inside = full_masks
    result = suppress_full_masks(logits, inside, above=above)
    torch.testing.assert_close(
        result.double(), naive_suppression(logits, inside, above), rtol=1e-5, atol=1e-6
    )


def test_full_constant_logits_become_zero():
    logits = torch.full((1, 4, 4), 6.0)
    inside = torch.ones(1, 4, 4, dtype=torch.bool)
    assert suppress_full_masks(logits, inside, above=0.65).abs().max() < 1e-5


def test_unlikely_corner_of_a_full_mask_becomes_background():
    logits = torch.full((1, 8, 8), 6.0)
    logits[0, :2, :2] = 1.0
    out = suppress_full_masks(logits, torch.ones_like(logits) > 0, above=0.65)
    assert (out[0, :2, :2] < -4).all()
    assert (out[0, 2:, 2:] > 0).all()


def test_suppression_keeps_sparse_masks_and_the_order_of_pixels(full_masks):
    logits, inside = full_masks
    sparse = logits - 8
    assert torch.equal(suppress_full_masks(sparse, inside, above=0.65), sparse)
    out = suppress_full_masks(logits, inside, above=0.0)
    for n in range(4):
        assert torch.equal(out[n].flatten().argsort(), logits[n].flatten().argsort())


def test_suppression_rejects_wrong_input(full_masks):
    with pytest.raises(ValueError, match=r"`above` to be in \[0, 1\) but got 1"):
        suppress_full_masks(*full_masks, above=1)
    with pytest.raises(ValueError, match="inside"):
        suppress_full_masks(full_masks[0], full_masks[1][:2], above=0.5)


def naive_raise(logits, inside, floor):
    """One row after the other, then one column after the other."""
    out = logits.double().clone()
    for transposed in (False, True):
        grid, box = (out.T, inside.T) if transposed else (out, inside)
        for row, cells in zip(grid, box, strict=True):
            if cells.any():
                row[cells] += max(0.0, floor - float(row[cells].max()))
    return out


@pytest.fixture
def sparse_masks():
    torch.manual_seed(0)
    inside = torch.zeros(3, 7, 8, dtype=torch.bool)
    inside[0, 1:6, 2:7] = True
    inside[1] = True  # the third box has no cell
    return torch.randn(3, 7, 8) - 1, inside


@pytest.mark.parametrize("floor", [0.0, 0.5])
def test_raise_equals_loops(sparse_masks, floor):
    logits, inside = sparse_masks
    ours = raise_empty_bags(logits, inside, floor=floor)
    for n in range(3):
        naive = naive_raise(logits[n], inside[n], floor)
        torch.testing.assert_close(ours[n].double(), naive, rtol=1e-5, atol=1e-6)


def test_every_bag_reaches_the_floor_and_the_outside_does_not_change(sparse_masks):
    logits, inside = sparse_masks
    raised = raise_empty_bags(logits, inside, floor=0.5)
    box = raised.masked_fill(~inside, -torch.inf)
    for axis in (-1, -2):
        assert (box.amax(axis)[inside.any(axis)] >= 0.5 - 1e-5).all()
    assert torch.equal(raised[~inside], logits[~inside])
    assert raised.isfinite().all()


def test_a_tight_mask_does_not_change(sparse_masks):
    logits, inside = sparse_masks
    once = raise_empty_bags(logits, inside, floor=0.5)
    torch.testing.assert_close(raise_empty_bags(once, inside, floor=0.5), once)


def test_raise_keeps_the_order_within_a_row():
    logits = torch.tensor([[[-3.0, -2.0, -4.0], [1.0, 1.0, 1.0]]])
    inside = torch.ones(1, 2, 3, dtype=torch.bool)
    out = raise_empty_bags(logits, inside, floor=0.0)
    torch.testing.assert_close(out[0, 0], torch.tensor([-1.0, 0.0, -2.0]))


def test_raise_rejects_wrong_shapes():
    with pytest.raises(ValueError, match=r"Expected `inside` of shape \(N, H, W\)"):
        raise_empty_bags(torch.zeros(1, 4, 4), torch.ones(1, 4, 5), floor=0.0)


@pytest.mark.parametrize(("side", "axis"), [(0, -1), (2, -1), (1, -2), (3, -2)])
def test_raise_leaves_the_bags_along_a_cut(sparse_masks, side, axis):
    """Of a box cut along x, columns alone are raised; of one cut along y, rows alone."""
    logits, inside = sparse_masks
    cut_sides = torch.zeros(3, 4, dtype=torch.bool)
    cut_sides[:2, side] = True
    out = raise_empty_bags(logits, inside, floor=0.5, cut_sides=cut_sides)
    for n in range(2):
        grid, box = (logits[n].T, inside[n].T) if axis == -1 else (logits[n], inside[n])
        expected = grid.clone()
        for row, cells in zip(expected, box, strict=True):
            if cells.any():
                row[cells] += max(0.0, 0.5 - float(row[cells].max()))
        torch.testing.assert_close(out[n], expected.T if axis == -1 else expected)


def test_raise_without_cut_sides_is_the_same(sparse_masks):
    none = torch.zeros(3, 4, dtype=torch.bool)
    expected = raise_empty_bags(*sparse_masks, floor=0.5)
    assert torch.equal(raise_empty_bags(*sparse_masks, floor=0.5, cut_sides=none), expected)
