"""``L_mil`` against loops over bags, and what the loss promises about masks."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from mmdet_discobox.functional import (
    bag_logits,
    box_masks,
    box_projections,
    known_bags,
    mil_bce_loss,
    mil_dice_loss,
)

SIZE = (7, 10)
BOXES = torch.tensor([[2.0, 1.0, 8.0, 6.0], [0.0, 0.0, 4.0, 7.0], [5.0, 3.0, 6.0, 4.0]])
LOSSES = [mil_dice_loss, mil_bce_loss]
both_forms = pytest.mark.parametrize("loss", LOSSES, ids=["dice", "bce"])


def distinct_logits(count=3, seed=0):
    """Logits in [-3, 3] no two of which are alike, so that maxima have one pixel."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.stack([torch.randperm(SIZE[0] * SIZE[1], generator=generator)] * count)
    shifts = torch.arange(count)[:, None] * 11
    ranks = (order + shifts) % order.shape[1]
    return (ranks / order.shape[1] * 6 - 3).reshape(count, *SIZE)


def confident(masks):
    return torch.where(masks, 30.0, -30.0)


def naive_scores(logits):
    """Scores of the bags in float64: the largest probability in each row and each column."""
    probs = [[1 / (1 + math.exp(-v)) for v in row] for row in logits.double().tolist()]
    return [max(row) for row in probs], [max(col) for col in zip(*probs, strict=True)]


def naive_dice(logits, rows, cols, eps=1e-3):
    total = 0.0
    for scores, labels in zip(naive_scores(logits), (rows.tolist(), cols.tolist()), strict=True):
        overlap = sum(p * y for p, y in zip(scores, labels, strict=True))
        squares = sum(p * p for p in scores) + sum(y * y for y in labels)
        total += 1 - (2 * overlap + eps) / (squares + eps)
    return total


def naive_bce(logits, rows, cols):
    scores = sum(naive_scores(logits), [])
    labels = rows.tolist() + cols.tolist()
    terms = [
        y * math.log(p) + (1 - y) * math.log(1 - p) for p, y in zip(scores, labels, strict=True)
    ]
    return -sum(terms) / len(terms)


@pytest.mark.parametrize(
    ("loss", "naive"), [(mil_dice_loss, naive_dice), (mil_bce_loss, naive_bce)], ids=["dice", "bce"]
)
@pytest.mark.parametrize("soft", [False, True])
def test_losses_equal_loops_over_bags(loss, naive, soft):
    logits = distinct_logits()
    rows, cols = box_projections(BOXES, SIZE)
    if soft:
        generator = torch.Generator().manual_seed(1)
        rows, cols = (torch.rand(bags.shape, generator=generator) for bags in (rows, cols))
    expected = [naive(*args) for args in zip(logits, rows, cols, strict=True)]
    assert loss(logits, rows, cols).tolist() == pytest.approx(expected, rel=1e-5)


def test_bags_are_rows_and_columns():
    logits = torch.tensor([[[1.0, 5.0, 2.0], [7.0, -3.0, 0.0]]])
    rows, cols = bag_logits(logits)
    assert rows.tolist() == [[5.0, 7.0]]
    assert cols.tolist() == [[7.0, 5.0, 2.0]]


@both_forms
def test_gradcheck(loss):
    logits = distinct_logits().double().requires_grad_()
    rows, cols = box_projections(BOXES, SIZE)
    # the losses compute in float32: steps far above its rounding, far below the gaps (6 / 70)
    assert torch.autograd.gradcheck(
        lambda x: loss(x, rows, cols).double(), (logits,), eps=1e-2, atol=1e-3, rtol=1e-2
    )


@both_forms
def test_gradients_reach_only_the_maxima(loss):
    logits = distinct_logits().requires_grad_()
    loss(logits, *box_projections(BOXES, SIZE)).sum().backward()
    for pixels, gradient in zip(logits.detach(), logits.grad, strict=True):
        best = {(row, int(col)) for row, col in enumerate(pixels.argmax(1))}
        best |= {(int(row), col) for col, row in enumerate(pixels.argmax(0))}
        assert {tuple(cell) for cell in gradient.nonzero().tolist()} == best


@both_forms
def test_a_filled_box_has_no_loss(loss):
    logits = confident(box_masks(BOXES, SIZE))
    assert loss(logits, *box_projections(BOXES, SIZE)).tolist() == pytest.approx([0] * 3, abs=1e-5)


@both_forms
def test_a_cross_has_no_loss(loss):
    rows, cols = box_projections(BOXES[:1], SIZE)
    cross = torch.zeros(1, *SIZE, dtype=torch.bool)
    cross[0, 3, 2:8] = cross[0, 1:6, 5] = True
    assert loss(confident(cross), rows, cols).item() == pytest.approx(0, abs=1e-5)


@both_forms
def test_one_pixel_outside_has_a_loss(loss):
    masks = box_masks(BOXES[:1], SIZE)
    masks[0, 0, 3] = True
    assert loss(confident(masks), *box_projections(BOXES[:1], SIZE)).item() > 0.05


def test_one_missed_row_has_the_loss_of_the_formula():
    masks = box_masks(BOXES[:1], SIZE)
    masks[0, 5] = False  # 4 of the 5 rows are found, all columns are
    loss = mil_dice_loss(confident(masks), *box_projections(BOXES[:1], SIZE), eps=0)
    assert loss.item() == pytest.approx(1 - 2 * 4 / (4 + 5), abs=1e-6)


@both_forms
@pytest.mark.parametrize("dim", [-1, -2])
def test_invariant_to_flips(loss, dim):
    logits = distinct_logits()
    rows, cols = box_projections(BOXES, SIZE)
    flipped = (rows, cols.flip(-1)) if dim == -1 else (rows.flip(-1), cols)
    assert torch.allclose(loss(logits.flip(dim), *flipped), loss(logits, rows, cols))


@both_forms
def test_transposing_exchanges_rows_and_columns(loss):
    logits = distinct_logits()
    rows, cols = box_projections(BOXES, SIZE)
    assert torch.allclose(loss(logits.mT, cols, rows), loss(logits, rows, cols))


@both_forms
def test_a_better_mask_has_a_smaller_loss(loss):
    signs = confident(box_masks(BOXES, SIZE)).sign()
    bags = box_projections(BOXES, SIZE)
    losses = torch.stack([loss(signs * scale, *bags) for scale in (0, 0.5, 1, 3, 6)])
    assert (losses.diff(dim=0) < 0).all()


def test_dice_is_bounded():
    masks = box_masks(BOXES, SIZE)
    worst = mil_dice_loss(confident(~masks), *box_projections(BOXES, SIZE))
    assert (worst > 0).all()
    assert (worst <= 2).all()


@both_forms
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_half_precision_is_finite(loss, dtype, scale):
    logits = (distinct_logits() * scale).to(dtype).requires_grad_()
    bags = box_projections(BOXES, SIZE)
    losses = loss(logits, *bags)
    losses.sum().backward()
    assert losses.dtype == torch.float32
    assert torch.isfinite(losses).all()
    assert torch.isfinite(logits.grad).all()
    assert torch.equal(losses, loss(logits.float(), *bags))


@both_forms
def test_no_masks(loss):
    logits = torch.zeros(0, *SIZE, requires_grad=True)
    losses = loss(logits, torch.zeros(0, 7), torch.zeros(0, 10))
    assert losses.shape == (0,)
    losses.sum().backward()
    assert logits.grad.shape == logits.shape


@both_forms
def test_wrong_shapes(loss):
    logits = torch.zeros(3, *SIZE)
    with pytest.raises(ValueError, match=r"Expected `logits` of shape \(N, H, W\)"):
        loss(logits[0], torch.zeros(3, 7), torch.zeros(3, 10))
    with pytest.raises(ValueError, match=r"Expected `rows` of shape \(N, H\) with H = 7"):
        loss(logits, torch.zeros(3, 10), torch.zeros(3, 7))
    with pytest.raises(ValueError, match=r"Expected `cols` of shape \(N, W\) with N = 3"):
        loss(logits, torch.zeros(3, 7), torch.zeros(2, 10))


#: no side, one or both along x, one along y, and one along each axis
CUTS = [(), (0,), (2,), (0, 2), (1,), (3,), (2, 3)]


def sides(cut, count=3):
    return torch.tensor([[side in cut for side in range(4)]] * count)


@both_forms
def test_without_cut_sides_nothing_changes(loss):
    logits, bags = distinct_logits(), box_projections(BOXES, SIZE)
    assert torch.equal(loss(logits, *bags, known=known_bags(*bags, sides(()))), loss(logits, *bags))


@pytest.mark.parametrize("cut", CUTS)
def test_known_bags_equal_all_objects_that_could_be_there(cut):
    """Oracle: crop every mask with a pixel in each bag of a tight box; which bags are sure?"""
    window = [0, 0, 4, 4]
    for side in cut:
        window[side] += 1 if side < 2 else -1
    x1, y1, x2, y2 = window
    seen_rows, seen_cols = set(), set()
    for code in range(1, 2**16):
        mask = np.array([code >> bit & 1 for bit in range(16)], bool).reshape(4, 4)
        if mask.any(0).all() and mask.any(1).all():
            rest = mask[y1:y2, x1:x2]
            seen_rows.add(tuple(rest.any(1)))
            seen_cols.add(tuple(rest.any(0)))
    box = torch.tensor([[2.0 + x1, 1.0 + y1, 2.0 + x2, 1.0 + y2]])
    rows, cols = box_projections(box, SIZE)
    known_rows, known_cols = known_bags(rows, cols, sides(cut, 1))
    for bags, known, seen in ((rows, known_rows, seen_rows), (cols, known_cols, seen_cols)):
        always = np.all(list(seen), 0)
        assert known[~bags].all(), "the outside stays negative"
        assert known[bags].tolist() == always.tolist()


@pytest.mark.parametrize("cut", CUTS)
def test_cross_entropy_of_unknown_bags_is_left_out(cut):
    logits, bags = distinct_logits(), box_projections(BOXES, SIZE)
    known = known_bags(*bags, sides(cut))
    expected = []
    for n in range(len(logits)):
        terms = 0.0
        for scores, labels, sure in zip(
            naive_scores(logits[n]), (bags[0][n], bags[1][n]), (known[0][n], known[1][n]),
            strict=True,
        ):  # fmt: skip
            for p, y, k in zip(scores, labels.tolist(), sure.tolist(), strict=True):
                terms -= k * math.log(p if y else 1 - p)
        expected.append(terms / sum(SIZE))
    assert mil_bce_loss(logits, *bags, known=known).tolist() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("cut", CUTS)
def test_dice_takes_unknown_bags_at_their_score(cut):
    logits, bags = distinct_logits(), box_projections(BOXES, SIZE)
    known = known_bags(*bags, sides(cut))
    expected = []
    for n in range(len(logits)):
        labels = [
            torch.tensor([y if k else p for p, y, k in zip(scores, ys, ks, strict=True)])
            for scores, ys, ks in zip(
                naive_scores(logits[n]),
                (bags[0][n].double().tolist(), bags[1][n].double().tolist()),
                (known[0][n].tolist(), known[1][n].tolist()),
                strict=True,
            )
        ]
        expected.append(naive_dice(logits[n], *labels))
    assert mil_dice_loss(logits, *bags, known=known).tolist() == pytest.approx(expected, rel=1e-4)


@both_forms
def test_half_an_object_may_leave_rows_empty(loss):
    """A triangle whose right half was cut off: its upper rows are empty in what is left.

    Box: rows 1 to 6, columns 2 to 8 before the crop at column 5; nothing lies beyond the crop.
    """
    box = torch.tensor([[2.0, 1, 5, 6]])
    bags = box_projections(box, (7, 5))
    known = known_bags(*bags, sides((2,), 1))
    left = torch.zeros(1, 7, 5, dtype=torch.bool)
    for row in range(3, 6):  # reaches the crop; rows 1 and 2 of the triangle lie beyond it
        left[0, row, 2 + (5 - row) : 5] = True
    truth = confident(left)
    assert loss(truth, *bags).item() > 0.15, "tight, the box contradicts the true mask"
    assert loss(truth, *bags, known=known).item() < 1e-6
    outside = left.clone()
    outside[0, 0, 3] = True
    assert loss(confident(outside), *bags, known=known).item() > 0.05


@both_forms
def test_unknown_bags_have_no_gradient_and_the_outside_has(loss):
    logits = distinct_logits(1).requires_grad_()
    bags = box_projections(BOXES[:1], SIZE)
    known = known_bags(*bags, sides((2, 3), 1))  # all positive bags are unknown
    loss(logits, *bags, known=known).sum().backward()
    rows, cols = bags
    inside = (rows[:, :, None] & cols[:, None, :])[0]
    assert not logits.grad[0][inside].any()
    assert (logits.grad[0][~inside] >= 0).all()
    assert (logits.grad[0] > 0).any()


@both_forms
@pytest.mark.parametrize("cut", CUTS)
def test_cut_boxes_are_equivariant_to_flips(loss, cut):
    logits, (rows, cols) = distinct_logits(), box_projections(BOXES, SIZE)
    here = loss(logits, rows, cols, known=known_bags(rows, cols, sides(cut)))
    swapped = sides(cut)[:, [2, 1, 0, 3]]
    there = (rows, cols.flip(-1))
    known = known_bags(*there, swapped)
    assert torch.allclose(loss(logits.flip(-1), *there, known=known), here)
