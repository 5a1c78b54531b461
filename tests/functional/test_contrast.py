"""``dense_nce`` against the loops of Sec. 3.4, and the laws of a contrastive loss."""

from __future__ import annotations

import math

import pytest
import torch

from mmdet_discobox.functional import dense_nce

TEMPERATURE = 0.2


def example():
    generator = torch.Generator().manual_seed(0)
    similarity = torch.rand(3, 4, 5, generator=generator) * 2 - 1
    return similarity, torch.randint(5, (3, 4), generator=generator)


def naive(similarity, targets):
    losses = torch.zeros(targets.shape)
    for p, pair in enumerate(similarity.tolist()):
        for i, row in enumerate(pair):
            total = sum(math.exp(value / TEMPERATURE) for value in row)
            positive = math.exp(row[targets[p, i]] / TEMPERATURE)
            losses[p, i] = -math.log(positive / total)
    return losses


def one_hot_similarity(size):
    """Cosines of cells that match one cell each and are orthogonal to the others."""
    return torch.eye(size)[None], torch.arange(size)[None]


def test_equals_a_naive_loop():
    args = example()
    losses = dense_nce(*args, temperature=TEMPERATURE)
    torch.testing.assert_close(losses, naive(*args), rtol=1e-5, atol=1e-6)


def test_gradcheck():
    similarity, targets = example()
    # the loss computes in float32: steps far above its rounding
    assert torch.autograd.gradcheck(
        lambda x: dense_nce(x, targets, temperature=1.0).double(),
        (similarity.double().requires_grad_(),),
        eps=1e-2,
        atol=1e-3,
        rtol=1e-2,
    )


def test_gradient_attracts_positives_and_repels_negatives():
    similarity, targets = example()
    similarity.requires_grad_()
    dense_nce(similarity, targets, temperature=TEMPERATURE).sum().backward()
    positive = torch.zeros_like(similarity).scatter_(-1, targets[..., None], 1).bool()
    assert (similarity.grad[positive] < 0).all()
    assert (similarity.grad[~positive] > 0).all()


def test_a_correct_match_has_a_smaller_loss():
    similarity, right = one_hot_similarity(9)
    assert (
        dense_nce(similarity, right, temperature=0.1)
        < dense_nce(similarity, right.roll(1, dims=1), temperature=0.1)
    ).all()


def test_the_loss_can_reach_zero():
    similarity, targets = one_hot_similarity(49)
    for temperature in (1.0, 0.1, 0.05):
        losses = dense_nce(similarity, targets, temperature=temperature)
        expected = math.log1p(48 * math.exp(-1 / temperature))  # 2.93, 2.2e-3, 9.9e-8
        torch.testing.assert_close(losses, torch.full((1, 49), expected), rtol=1e-4, atol=2e-7)


def test_equal_similarities_give_the_log_of_the_number_of_cells():
    flat = torch.full((1, 3, 49), 0.7)
    losses = dense_nce(flat, torch.tensor([[0, 20, 48]]), temperature=0.1)
    torch.testing.assert_close(losses, torch.full((1, 3), math.log(49)))


def test_invariant_to_constants_and_permutations():
    similarity, targets = example()
    losses = dense_nce(similarity, targets, temperature=TEMPERATURE)
    shift = torch.randn(3, 4, 1, generator=torch.Generator().manual_seed(1))
    moved = dense_nce(similarity + shift, targets, temperature=TEMPERATURE)
    torch.testing.assert_close(moved, losses, rtol=1e-4, atol=1e-5)
    order = torch.tensor([3, 0, 4, 1, 2])
    shuffled = dense_nce(similarity[..., order], order.argsort()[targets], temperature=TEMPERATURE)
    torch.testing.assert_close(shuffled, losses)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    similarity, targets = example()
    half = similarity.to(dtype)
    losses = dense_nce(half, targets, temperature=1e-5)
    assert losses.dtype == torch.float32
    assert losses.isfinite().all()
    assert torch.equal(losses, dense_nce(half.float(), targets, temperature=1e-5))


def test_no_pairs():
    similarity = torch.zeros(0, 4, 5, requires_grad=True)
    losses = dense_nce(similarity, torch.zeros(0, 4).long(), temperature=0.1)
    assert losses.shape == (0, 4)
    losses.sum().backward()


@pytest.mark.parametrize("temperature", [0.0, -0.1, float("nan")])
def test_rejects_a_temperature_that_is_not_above_zero(temperature):
    with pytest.raises(ValueError, match="Expected `temperature` to be above 0 but got"):
        dense_nce(*example(), temperature=temperature)


def test_rejects_wrong_shapes():
    similarity, targets = example()
    with pytest.raises(ValueError, match=r"Expected `targets` of shape \(P, N\) with N = 4"):
        dense_nce(similarity, targets[:, :3], temperature=0.1)
    with pytest.raises(ValueError, match=r"Expected `similarity` of shape \(P, N, M\)"):
        dense_nce(similarity[0], targets, temperature=0.1)
