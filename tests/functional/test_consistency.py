"""``L_con`` against loops over pixels, and its laws."""

from __future__ import annotations

import math

import pytest
import torch

from mmdet_discobox.functional import consistency_ce, consistency_dice, mask_certainty

both_forms = pytest.mark.parametrize("loss", [consistency_ce, consistency_dice], ids=["ce", "dice"])


def example(seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(4, 5, 6, generator=generator) * 2
    targets = torch.rand(4, 5, 6, generator=generator)
    inside = torch.rand(4, 5, 6, generator=generator) > 0.4
    return logits, targets, inside


def pixels(logits, targets, inside, outside=0.0):
    """``(p, x, w)`` of each pixel in float64."""
    for logit, target, weight in zip(
        logits.flatten().tolist(),
        targets.flatten().tolist(),
        inside.flatten().tolist(),
        strict=True,
    ):
        yield 1 / (1 + math.exp(-logit)), target, 1.0 if weight else outside


def naive_ce(logits, targets, inside, outside=0.0):
    total = count = 0.0
    for p, x, w in pixels(logits, targets, inside, outside):
        total -= w * (x * math.log(p) + (1 - x) * math.log(1 - p))
        count += w == 1
    return total / max(count, 1)


def naive_dice(logits, targets, inside, outside=0.0, eps=1e-3):
    overlap = total = 0.0
    for p, x, w in pixels(logits, targets, inside, outside):
        overlap += w * p * x
        total += w * (p * p + x * x)
    return 1 - (2 * overlap + eps) / (total + eps)


@pytest.mark.parametrize(
    ("loss", "naive"),
    [(consistency_ce, naive_ce), (consistency_dice, naive_dice)],
    ids=["ce", "dice"],
)
@pytest.mark.parametrize("outside", [0.0, 0.4])
def test_losses_equal_loops_over_pixels(loss, naive, outside):
    args = example()
    expected = [naive(*one, outside) for one in zip(*args, strict=True)]
    assert loss(*args, outside=outside).tolist() == pytest.approx(expected, rel=1e-5)


@both_forms
def test_gradcheck(loss):
    logits, targets, inside = example()
    # the losses compute in float32: steps far above its rounding
    assert torch.autograd.gradcheck(
        lambda x: loss(x, targets, inside).double(),
        (logits.double().requires_grad_(),),
        eps=1e-2,
        atol=1e-3,
        rtol=1e-2,
    )


@both_forms
def test_agreement_has_no_loss_and_disagreement_has_one(loss):
    _, targets, inside = example()
    masks = (targets > 0.5).float()
    agreed = (masks * 2 - 1) * 30
    assert loss(agreed, masks, inside).tolist() == pytest.approx([0] * 4, abs=1e-5)
    assert (loss(-agreed, masks, inside) > 0.9).all()


@both_forms
def test_a_better_mask_has_a_smaller_loss(loss):
    _, targets, inside = example()
    masks = (targets > 0.5).float()
    scales = (-3, -1, 0, 1, 3)
    losses = torch.stack([loss((masks * 2 - 1) * scale, masks, inside) for scale in scales])
    assert (losses.diff(dim=0) < 0).all()


@both_forms
def test_pixels_outside_the_box_do_not_matter(loss):
    logits, targets, inside = example()
    other, fewer, _ = example(seed=1)
    changed = loss(torch.where(inside, logits, other), torch.where(inside, targets, fewer), inside)
    assert torch.equal(changed, loss(logits, targets, inside))
    logits.requires_grad_()
    loss(logits, targets, inside).sum().backward()
    assert torch.equal(logits.grad != 0, inside)


@both_forms
def test_masks_are_independent(loss):
    logits, targets, inside = example()
    alone = loss(logits[1:2], targets[1:2], inside[1:2])
    assert torch.allclose(loss(logits, targets, inside)[1:2], alone)


def test_cross_entropy_is_the_mean_over_a_box_of_any_size():
    logits, targets = torch.full((2, 4, 4), 1.5), torch.ones(2, 4, 4)
    inside = torch.zeros(2, 4, 4, dtype=torch.bool)
    inside[0, :1, :1] = inside[1, :3] = True
    expected = math.log1p(math.exp(-1.5))
    assert consistency_ce(logits, targets, inside).tolist() == pytest.approx([expected] * 2)


def test_soft_targets_are_minimised_by_their_own_logits():
    _, targets, inside = example()
    logits = targets.logit().requires_grad_()
    consistency_ce(logits, targets, inside).sum().backward()
    assert logits.grad.abs().max().item() < 1e-6


def test_dice_of_half_an_object():
    logits, targets = torch.full((1, 2, 4), -30.0), torch.ones(1, 2, 4)
    logits[0, 0] = 30  # 4 of 8 pixels are found
    loss = consistency_dice(logits, targets, torch.ones(1, 2, 4, dtype=torch.bool), eps=0)
    assert loss.item() == pytest.approx(1 - 2 * 4 / (4 + 8))


@both_forms
def test_a_box_without_pixels_has_no_loss(loss):
    logits, targets, inside = example()
    logits.requires_grad_()
    losses = loss(logits, targets, torch.zeros_like(inside))
    assert losses.tolist() == [0] * 4
    losses.sum().backward()
    assert not logits.grad.any()


@both_forms
def test_no_masks(loss):
    logits = torch.zeros(0, 5, 6, requires_grad=True)
    losses = loss(logits, torch.zeros(0, 5, 6), torch.zeros(0, 5, 6, dtype=torch.bool))
    assert losses.shape == (0,)
    losses.sum().backward()
    assert logits.grad.shape == logits.shape


@both_forms
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_finite(loss, dtype):
    logits, targets, inside = example()
    logits = (logits * 1e3).to(dtype).requires_grad_()
    losses = loss(logits, targets.to(dtype), inside)
    losses.sum().backward()
    assert losses.dtype == torch.float32
    assert torch.isfinite(losses).all()
    assert torch.isfinite(logits.grad).all()


@both_forms
@pytest.mark.parametrize("wrong", [0, 1, 2])
def test_wrong_shapes(loss, wrong):
    args = list(example())
    args[wrong] = args[wrong][0]
    name = ("logits", "targets", "inside")[wrong]
    with pytest.raises(ValueError, match=rf"Expected `{name}` of shape \(N, H, W\)"):
        loss(*args)


@both_forms
def test_ignored_pixels_are_pixels_that_are_not_there(loss):
    """The same loss as of the other pixels alone, in a row."""
    logits, targets, inside = example()
    ignored = torch.rand(logits.shape, generator=torch.Generator().manual_seed(1)) > 0.6
    found = loss(logits, targets, inside, outside=0.4, ignored=ignored)
    for index, kept in enumerate(~ignored):
        rest = (x[index][kept][None, None] for x in (logits, targets, inside))
        assert found[index].item() == pytest.approx(loss(*rest, outside=0.4).item(), rel=1e-5)
    everything = torch.ones_like(ignored)
    assert loss(logits, targets, inside, ignored=everything).tolist() == [0.0] * 4


def test_certainty_is_agreement_times_sureness():
    coarse = torch.tensor([[[3.0, -1.0], [2.0, 5.0]]])
    refined = torch.tensor([[[0.9, 0.6], [0.2, 1.0]]])
    inside = torch.tensor([[[True, True], [True, False]]])
    # coarse has the first and third cell of the box, refined the first and second: 1 of 3
    expected = 1 / 3 * (0.8 + 0.2 + 0.6) / 3
    assert mask_certainty(coarse, refined, inside).tolist() == pytest.approx([expected])
    nowhere = torch.zeros_like(inside)
    assert mask_certainty(coarse, refined, nowhere).tolist() == [0.0]
    sure = torch.where(inside & (coarse > 0), 1.0, 0.0)
    assert mask_certainty(coarse, sure, inside).tolist() == [1.0]
