"""``DenseNCELoss``: positives, and the cells and pairs it averages over."""

from __future__ import annotations

import pytest
import torch
from mmdet.registry import MODELS

from mmdet_discobox.functional import dense_nce
from mmdet_discobox.models.losses import DenseNCELoss

VALID = torch.tensor([True, False, True, True])


def example():
    generator = torch.Generator().manual_seed(0)
    similarity = torch.rand(4, 6, 5, generator=generator) * 2 - 1
    plan = torch.rand(4, 6, 5, generator=generator)
    masks = torch.rand(4, 6, generator=generator)
    masks[3] = 0.5  # not one cell exceeds a half
    return similarity.requires_grad_(), plan, masks, VALID


def naive(similarity, plan, masks, valid, *, foreground_only):
    """Mean over valid pairs of the mean over their counted cells."""
    means = []
    for pair in range(len(similarity)):
        losses = []
        for cell in range(similarity.shape[1]):
            if foreground_only and masks[pair, cell] <= 0.5:
                continue
            positive = plan[pair, cell].argmax().view(1, 1)
            row = similarity[pair, cell].view(1, 1, -1)
            losses.append(float(dense_nce(row, positive, temperature=0.3)))
        if valid[pair] and losses:
            means.append(sum(losses) / len(losses))
    return sum(means) / len(means)


@pytest.mark.parametrize("foreground_only", [True, False])
def test_mean_over_foreground_cells_and_valid_pairs(foreground_only):
    config = dict(type="DenseNCELoss", temperature=0.3, loss_weight=2.0)
    loss = MODELS.build(dict(**config, foreground_only=foreground_only))
    similarity, *teacher = example()
    expected = 2 * naive(similarity.detach(), *teacher, foreground_only=foreground_only)
    assert loss(similarity, *teacher).item() == pytest.approx(expected, rel=1e-5)


def test_default_weight_is_the_paper_s():
    assert DenseNCELoss().loss_weight == 0.1


@pytest.mark.parametrize("foreground_only", [True, False])
def test_gradients_reach_only_counted_cells(foreground_only):
    similarity, plan, masks, valid = example()
    plan.requires_grad_()
    masks.requires_grad_()
    DenseNCELoss(foreground_only=foreground_only)(similarity, plan, masks, valid).backward()
    counted = (masks > 0.5) if foreground_only else torch.ones_like(masks).bool()
    assert torch.equal(similarity.grad.any(-1), counted & valid[:, None])
    assert plan.grad is None
    assert masks.grad is None


def test_features_that_match_the_plan_have_a_smaller_loss():
    plan = torch.eye(6)[None]
    ones = torch.ones(1, 6), torch.tensor([True])
    loss = DenseNCELoss(loss_weight=1.0)
    assert loss(plan, plan, *ones) < 0.001
    assert loss(plan.roll(1, dims=2), plan, *ones) > 9


@pytest.mark.parametrize(
    ("count", "mask", "valid"), [(4, 0.9, False), (4, 0.1, True), (0, 0.9, True)]
)
def test_zero_attached_to_the_graph_without_valid_pairs(count, mask, valid):
    similarity, plan, masks, flags = (tensor[:count].detach() for tensor in example())
    similarity.requires_grad_()
    loss = DenseNCELoss()(
        similarity, plan, torch.full_like(masks, mask), torch.full_like(flags, valid)
    )
    assert loss.item() == 0
    loss.backward()
    assert similarity.grad.shape == similarity.shape
    assert not similarity.grad.any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype):
    similarity, plan, masks, valid = example()
    half = similarity.detach().to(dtype).requires_grad_()
    loss = DenseNCELoss(temperature=0.01)(half, plan.to(dtype), masks.to(dtype), valid)
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.isfinite()
    assert half.grad.isfinite().all()


def test_needs_no_host_synchronisation():
    # tensors without data: whatever needs a value on the host fails
    args = [tensor.to("meta") for tensor in example()]
    assert DenseNCELoss()(*args).shape == ()


def test_rejects_wrong_arguments():
    similarity, plan, masks, valid = example()
    with pytest.raises(ValueError, match="Expected `temperature` to be above 0 but got 0"):
        DenseNCELoss(temperature=0)
    with pytest.raises(ValueError, match=r"Expected `plan` of shape \(P, N, M\) with M = 5"):
        DenseNCELoss()(similarity, plan[..., :4], masks, valid)
    with pytest.raises(ValueError, match=r"Expected `source_masks` of shape \(P, N\) with N = 6"):
        DenseNCELoss()(similarity, plan, masks[:, :1], valid)
    with pytest.raises(ValueError, match=r"Expected `valid` of shape \(P\) with P = 4"):
        DenseNCELoss()(similarity, plan, masks, valid[:3])
