"""``MaskConsistencyLoss``: valid masks and their targets."""

from __future__ import annotations

import pytest
import torch
from mmdet.registry import MODELS

from mmdet_discobox.functional import consistency_ce, consistency_dice
from mmdet_discobox.models.losses import MaskConsistencyLoss

FUNCTIONS = {"ce": consistency_ce, "dice": consistency_dice}
both_forms = pytest.mark.parametrize("form", sorted(FUNCTIONS))
VALID = torch.tensor([True, False, True, False])


def example():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 6, 6, generator=generator).requires_grad_()
    masks = torch.rand(4, 6, 6, generator=generator)
    return logits, masks, torch.rand(4, 6, 6, generator=generator) > 0.4


@both_forms
@pytest.mark.parametrize("hard", [True, False])
def test_mean_over_valid_masks(form, hard):
    logits, masks, inside = example()
    loss = MODELS.build(dict(type="MaskConsistencyLoss", form=form, hard=hard, loss_weight=2.0))
    targets = (masks > 0.5).float() if hard else masks
    each = FUNCTIONS[form](logits, targets, inside)
    assert torch.allclose(loss(logits, masks, inside, VALID), each[0] + each[2])
    everything = torch.ones_like(VALID)
    assert torch.allclose(loss(logits, masks, inside, everything), 2 * each.mean())


@both_forms
def test_invalid_masks_do_not_affect_the_loss(form):
    logits, masks, inside = example()
    loss = MaskConsistencyLoss(form)
    before = loss(logits, masks, inside, VALID)
    before.backward()
    assert logits.grad.flatten(1).any(1).equal(VALID)
    other = torch.where(VALID[:, None, None], masks, 1 - masks)
    assert torch.equal(loss(logits, other, inside, VALID), before)


@both_forms
def test_hard_targets_are_thresholded_at_a_half(form):
    logits, masks, inside = example()
    valid = torch.ones_like(VALID)
    sharper = torch.where(masks > 0.5, 0.99, 0.01)
    hard, soft = MaskConsistencyLoss(form), MaskConsistencyLoss(form, hard=False)
    assert torch.equal(hard(logits, sharper, inside, valid), hard(logits, masks, inside, valid))
    assert not torch.allclose(
        soft(logits, sharper, inside, valid), soft(logits, masks, inside, valid)
    )
    half = torch.full_like(masks, 0.5)
    assert torch.equal(
        hard(logits, half, inside, valid), hard(logits, torch.zeros_like(half), inside, valid)
    )


@both_forms
@pytest.mark.parametrize("count", [4, 0])
def test_zero_attached_to_the_graph_without_valid_masks(form, count):
    logits, masks, inside = (tensor[:count] for tensor in example())
    logits = logits.detach().requires_grad_()
    loss = MaskConsistencyLoss(form)(logits, masks, inside, torch.zeros(count, dtype=torch.bool))
    assert loss.item() == 0
    loss.backward()
    assert logits.grad.shape == logits.shape
    assert not logits.grad.any()


@both_forms
def test_weighted_masks_count_by_their_certainty(form):
    logits, masks, inside = example()
    certainty = torch.tensor([0.2, 0.9, 0.6, 0.4])
    loss = MaskConsistencyLoss(form, weighted=True)
    each = FUNCTIONS[form](logits, (masks > 0.5).float(), inside)
    expected = (0.2 * each[0] + 0.6 * each[2]) / 0.8
    assert torch.allclose(loss(logits, masks, inside, VALID, certainty), expected)
    alike = loss(logits, masks, inside, VALID, torch.full((4,), 0.3))
    assert torch.allclose(alike, MaskConsistencyLoss(form)(logits, masks, inside, VALID))
    none = loss(logits, masks, inside, VALID, torch.zeros(4))
    assert none.item() == 0
    assert none.requires_grad


@both_forms
def test_uncertain_cells_of_the_box_are_ignored(form):
    logits, masks, inside = example()
    loss = MaskConsistencyLoss(form, outside=1.0, ignore=(0.3, 0.7))
    ignored = inside & (masks > 0.3) & (masks < 0.7)
    targets = (masks > 0.5).float()
    each = FUNCTIONS[form](logits, targets, inside, outside=1.0, ignored=ignored)
    assert ignored.any()
    assert torch.allclose(loss(logits, masks, inside, VALID), (each[0] + each[2]) / 2)


@both_forms
@pytest.mark.parametrize("weight", [0.25, 1.0, 4.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_weight_of_true_masks_is_relative_to_the_others(form, weight, weighted):
    logits, masks, inside = example()
    loss = MaskConsistencyLoss(form, true_weight=weight, weighted=weighted)
    each = FUNCTIONS[form](logits, (masks > 0.5).float(), inside)
    certainty, first = torch.ones(4), torch.tensor([True, False, False, False])
    mean = (weight * each[0] + each[2]) / (weight + 1)
    assert torch.allclose(loss(logits, masks, inside, VALID, certainty, first), mean)
    alone = loss(logits, masks, inside, VALID & first, certainty, first)
    assert torch.allclose(alone, each[0])  # there is nothing that it could weigh less than


def test_bounds_that_are_none():
    with pytest.raises(ValueError, match=r"Expected `ignore` to be bounds .* but got \(0.7, 0.3\)"):
        MaskConsistencyLoss(ignore=(0.7, 0.3))


@pytest.mark.parametrize("name", ["outside", "true_weight", "loss_weight"])
def test_negative_weights_are_errors(name):
    with pytest.raises(ValueError, match=rf"Expected `{name}` to be in \[0, inf\) but got -1"):
        MaskConsistencyLoss(**{name: -1.0})


def test_unknown_form():
    with pytest.raises(ValueError, match=r"Expected `form` to be one of \['ce', 'dice'\] .*'l2'"):
        MaskConsistencyLoss("l2")


def test_wrong_shapes():
    logits, masks, inside = example()
    with pytest.raises(ValueError, match=r"Expected `targets` of shape \(N, H, W\) with N = 4"):
        MaskConsistencyLoss()(logits, masks[:3], inside, VALID)
