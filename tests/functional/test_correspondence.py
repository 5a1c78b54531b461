from __future__ import annotations

import math

import pytest
import torch

from mmdet_discobox.functional.correspondence import (
    cosine_similarity,
    geometric_votes,
    iterated_conditional_modes,
)
from mmdet_discobox.functional.transport import marginal_residual, sinkhorn, step_mass


def naive_votes(plan, size, gamma):
    """C_g of Sec. 3.2 for one pair: a loop over i and k, and one over j and l."""
    cells = [(y, x) for y in range(size) for x in range(size)]
    pairs = [(i, k) for i in range(len(cells)) for k in range(len(cells))]
    offset = {(i, k): (cells[k][0] - cells[i][0], cells[k][1] - cells[i][1]) for i, k in pairs}
    mass = [
        (offset[pair], value) for pair, value in zip(pairs, plan.flatten().tolist(), strict=True)
    ]
    votes = [
        sum(
            math.exp(-((dy - v) ** 2 + (dx - u) ** 2) / (2 * gamma)) * value
            for (v, u), value in mass
        )
        for dy, dx in (offset[pair] for pair in pairs)
    ]
    return torch.tensor(votes, dtype=torch.float64).view(plan.shape)


def random_plans(pairs=2, size=4):
    torch.manual_seed(0)
    plan = torch.rand(pairs, size**2, size**2) ** 4
    return plan / plan.sum((1, 2), keepdim=True)


def random_features(pairs=3, channels=32, size=6):
    torch.manual_seed(0)
    return torch.randn(pairs, channels, size, size)


def uniform(pairs, size):
    return torch.ones(pairs, size**2)


@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize("gamma", [0.3, 4.0])
def test_votes_equal_nested_loops(size, gamma):
    plans = random_plans(size=size).double()
    votes = geometric_votes(plans, size=size, gamma=gamma)
    for plan, ours in zip(plans, votes, strict=True):
        torch.testing.assert_close(ours, naive_votes(plan, size, gamma), rtol=1e-12, atol=0)
    single = geometric_votes(plans.float(), size=size, gamma=gamma)
    torch.testing.assert_close(single, votes.float(), rtol=1e-5, atol=0)


def test_votes_depend_only_on_the_offset_and_lie_in_the_unit_interval():
    votes = geometric_votes(random_plans(), size=4, gamma=2.0).view(2, 4, 4, 4, 4)
    torch.testing.assert_close(votes[:, :-1, :, :-1], votes[:, 1:, :, 1:])
    torch.testing.assert_close(votes[:, :, :-1, :, :-1], votes[:, :, 1:, :, 1:])
    assert votes.min() >= 0
    assert votes.max() <= 1
    identity = torch.eye(16)[None] / 16
    torch.testing.assert_close(
        geometric_votes(identity, size=4, gamma=2.0).diagonal(dim1=1, dim2=2), torch.ones(1, 16)
    )


def test_votes_of_swapped_objects_are_transposed():
    plan = random_plans()
    there = geometric_votes(plan, size=4, gamma=1.0)
    torch.testing.assert_close(geometric_votes(plan.mT, size=4, gamma=1.0), there.mT)


def test_votes_gradcheck():
    plan = random_plans(1, 2).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda p: geometric_votes(p, size=2, gamma=0.7), (plan,))


def test_cosine_similarity():
    source, target = random_features().double(), random_features().double().flip(1)
    ours = cosine_similarity(source, target)
    a, b = source.flatten(2).mT[:, :, None], target.flatten(2).mT[:, None]
    torch.testing.assert_close(ours, torch.nn.functional.cosine_similarity(a, b, dim=-1))
    torch.testing.assert_close(cosine_similarity(3 * source, 0.1 * target), ours)
    assert (cosine_similarity(source * 0, target) == 0).all()


def test_cosines_ignore_autocast():
    source, target = random_features(), random_features().flip(1)
    expected = cosine_similarity(source, target)
    with torch.autocast("cpu", torch.bfloat16):
        found = cosine_similarity(source, target)
        assert torch.equal(found, expected)
        half = cosine_similarity(source.bfloat16(), target.bfloat16())
    assert half.dtype == torch.float


def naive_modes(similarity, source, target, size, gamma, eps, iterations):
    """Sec. 3.3 for one pair in float64, each transport from scratch and to convergence."""
    total = similarity
    for _ in range(iterations):
        plan, _ = sinkhorn(-total[None], source[None], target[None], eps=eps, iterations=1500)
        votes = naive_votes(plan[0], size, gamma)
        total = similarity + votes
    return plan[0], votes


@pytest.mark.parametrize("iterations", [1, 3])
def test_modes_equal_the_naive_algorithm(iterations):
    features = random_features(2, 8, 4)
    similarity = cosine_similarity(features, features.roll(1, 3) + torch.randn_like(features))
    masses = [step_mass(torch.rand(2, 16)) for _ in range(2)]
    settings = dict(size=4, gamma=1.5, eps=0.15, iterations=iterations)
    plans, votes = iterated_conditional_modes(
        similarity, *masses, **settings, sinkhorn_iterations=400
    )
    for n in range(2):
        plan, vote = naive_modes(
            similarity[n].double(), masses[0][n].double(), masses[1][n].double(), **settings
        )
        torch.testing.assert_close(plans[n].double(), plan, rtol=0, atol=1e-4 / 16)
        torch.testing.assert_close(votes[n].double(), vote, rtol=0, atol=1e-4)
    assert marginal_residual(plans, *masses).max() < 1e-4


@pytest.mark.parametrize("shift", [(0, 0), (1, 0), (-2, 1)])
def test_a_shift_is_recovered(shift):
    dy, dx = shift
    field = torch.randn(2, 32, 12, 12, generator=torch.Generator().manual_seed(0))
    source, target = field[:, :, 3:9, 3:9], field[:, :, 3 - dy : 9 - dy, 3 - dx : 9 - dx]
    plan, _ = iterated_conditional_modes(
        cosine_similarity(source, target), uniform(2, 6), uniform(2, 6), size=6, gamma=1.0
    )
    y, x = torch.meshgrid(torch.arange(6), torch.arange(6), indexing="ij")
    stays = ((y + dy).clamp(0, 5) == y + dy) & ((x + dx).clamp(0, 5) == x + dx)
    expected = ((y + dy) * 6 + x + dx)[stays]
    assert torch.equal(plan.argmax(2)[:, stays.flatten()], expected.expand(2, -1))


def test_geometry_helps_where_appearance_is_noisy():
    torch.manual_seed(0)
    features = torch.randn(8, 16, 7, 7)
    noisy = [features + torch.randn_like(features) for _ in range(2)]
    similarity = cosine_similarity(*noisy)

    def hits(iterations):
        plan, _ = iterated_conditional_modes(
            similarity, uniform(8, 7), uniform(8, 7), size=7, gamma=1.0, iterations=iterations
        )
        return float((plan.argmax(2) == torch.arange(49)).float().mean())

    assert hits(1) < 0.5
    assert hits(5) > 0.9


def test_rows_of_the_plan_sum_to_the_source_mass():
    features, noise = random_features(), torch.randn(3, 32, 6, 6)
    masks = (torch.rand(3, 36) > 0.5).float()
    similarity = cosine_similarity(features, features + noise)

    def plan_of(source_mass):
        return iterated_conditional_modes(
            similarity, source_mass, uniform(3, 6), size=6, gamma=1.0
        )[0]

    weighted = plan_of(step_mass(masks))
    mass = step_mass(masks) / step_mass(masks).sum(1, keepdim=True)
    torch.testing.assert_close(weighted.sum(2), mass, rtol=0, atol=1e-3 / 36)
    assert (weighted - plan_of(uniform(3, 6))).abs().max() > 0.1 / 36
    hidden = plan_of(masks)
    assert (hidden[masks == 0] == 0).all()
    assert hidden.isfinite().all()


def test_the_default_numbers_of_iterations_converge():
    torch.manual_seed(0)
    for size, pairs in ((7, 20), (14, 4)):
        features = torch.nn.functional.interpolate(torch.randn(pairs, 32, 5, 5), size=size)
        similarity = cosine_similarity(features, features + 0.2 * torch.randn_like(features))
        masses = [step_mass(torch.rand(pairs, size**2)) for _ in range(2)]
        plan, _ = iterated_conditional_modes(
            similarity, *masses, size=size, gamma=(0.2 * size) ** 2
        )
        assert marginal_residual(plan, *masses).max() < 1e-3


def test_flipping_both_objects_flips_the_plan():
    source, target = random_features(), random_features().roll(1, 2)
    there, back = (
        iterated_conditional_modes(
            cosine_similarity(*pair), uniform(3, 6), uniform(3, 6), size=6, gamma=1.0
        )[0].view(3, 6, 6, 6, 6)
        for pair in ((source, target), (source.flip(3), target.flip(3)))
    )
    torch.testing.assert_close(there.flip(2, 4), back, rtol=1e-3, atol=1e-6)


def test_a_batch_equals_single_pairs():
    similarity = cosine_similarity(random_features(), random_features().roll(1, 3))
    mass = step_mass(torch.rand(3, 36))
    plans, votes = iterated_conditional_modes(similarity, mass, mass, size=6, gamma=1.0)
    for n in range(3):
        plan, vote = iterated_conditional_modes(
            similarity[n : n + 1], mass[n : n + 1], mass[n : n + 1], size=6, gamma=1.0
        )
        torch.testing.assert_close(plans[n : n + 1], plan)
        torch.testing.assert_close(votes[n : n + 1], vote)


def test_eps_may_differ_between_pairs():
    similarity = cosine_similarity(random_features(), random_features().roll(1, 3))
    mass, eps_values = step_mass(torch.rand(3, 36)), [0.05, 0.15, 0.4]
    plans, votes = iterated_conditional_modes(
        similarity, mass, mass, size=6, gamma=1.0, eps=torch.tensor(eps_values)
    )
    for n, eps in enumerate(eps_values):
        plan, vote = iterated_conditional_modes(
            *(x[n : n + 1] for x in (similarity, mass, mass)), size=6, gamma=1.0, eps=eps
        )
        torch.testing.assert_close(plans[n : n + 1], plan)
        torch.testing.assert_close(votes[n : n + 1], vote)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_features(dtype):
    features = (100 * random_features()).to(dtype)
    features[0] = 0
    similarity = cosine_similarity(features, features)
    assert similarity.dtype == torch.float32
    plan, votes = iterated_conditional_modes(
        similarity, uniform(3, 6).to(dtype), uniform(3, 6).to(dtype), size=6, gamma=1.0
    )
    assert plan.isfinite().all()
    assert votes.isfinite().all()
    assert torch.equal(plan[1:].argmax(2), torch.arange(36).expand(2, -1))


def test_no_pairs():
    features = torch.zeros(0, 8, 4, 4)
    plan, votes = iterated_conditional_modes(
        cosine_similarity(features, features), uniform(0, 4), uniform(0, 4), size=4, gamma=1.0
    )
    assert plan.shape == votes.shape == (0, 16, 16)


def test_rejects_wrong_input():
    similarity, mass = torch.rand(2, 16, 16), torch.ones(2, 16)
    with pytest.raises(ValueError, match=r"Expected `plan` of shape \(P, 9, 9\)"):
        geometric_votes(similarity, size=3, gamma=1.0)
    with pytest.raises(ValueError, match="Expected `gamma` > 0 but got 0"):
        geometric_votes(similarity, size=4, gamma=0)
    with pytest.raises(ValueError, match="Expected `target` of shape"):
        cosine_similarity(torch.rand(2, 8, 4, 4), torch.rand(2, 8, 3, 3))
    with pytest.raises(ValueError, match=r"Expected `similarity` of shape \(P, 25, 25\)"):
        iterated_conditional_modes(similarity, mass, mass, size=5, gamma=1.0)
    with pytest.raises(ValueError, match="Expected `iterations` >= 1 but got 0"):
        iterated_conditional_modes(similarity, mass, mass, size=4, gamma=1.0, iterations=0)
    with pytest.raises(ValueError, match="Expected `eps` > 0 but got -1"):
        iterated_conditional_modes(similarity, mass, mass, size=4, gamma=1.0, eps=-1)
    with pytest.raises(ValueError, match=r"Expected `eps` of shape \(P\) with P = 2 but got \(3,"):
        iterated_conditional_modes(
            similarity, mass, mass, size=4, gamma=1.0, eps=torch.full((3,), 0.1)
        )
