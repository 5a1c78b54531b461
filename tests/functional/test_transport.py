from __future__ import annotations

import pytest
import torch

from mmdet_discobox.functional.transport import (
    marginal_residual,
    scale_to_marginals,
    sinkhorn,
    step_mass,
)


def naive_sinkhorn(cost, source, target, eps, iterations):
    """Alg. 2 as printed, one pair in float64; t_max counts the passes of its loop."""
    source, target = (
        source.double() / source.double().sum(),
        target.double() / target.double().sum(),
    )
    rows, columns = range(len(source)), range(len(target))
    K = torch.exp(-cost.double() / eps)
    b = [1.0 for _ in columns]
    for _ in range(iterations):
        a = [float(source[n]) / sum(float(K[n, m]) * b[m] for m in columns) for n in rows]
        b = [float(target[m]) / sum(float(K[n, m]) * a[n] for n in rows) for m in columns]
    plan = [[a[n] * float(K[n, m]) * b[m] for m in columns] for n in rows]
    return torch.tensor(plan, dtype=torch.float64)


def random_problem(pairs=3, rows=9, columns=7, scale=1.0):
    torch.manual_seed(0)
    cost = scale * (2 * torch.rand(pairs, rows, columns) - 1)
    masses = (step_mass(torch.rand(pairs, count)) for count in (rows, columns))
    return (cost, *masses)


def normalised(mass):
    return mass.double() / mass.double().sum(-1, keepdim=True)


@pytest.mark.parametrize("iterations", [1, 2, 25])
@pytest.mark.parametrize("eps", [0.05, 0.3])
def test_equals_a_naive_algorithm_2(eps, iterations):
    problem = random_problem()
    plan, _ = sinkhorn(*problem, eps=eps, iterations=iterations)
    for ours, *pair in zip(plan, *problem, strict=True):
        naive = naive_sinkhorn(*pair, eps, iterations)
        torch.testing.assert_close(ours.double(), naive, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(("eps", "scale"), [(0.1, 1.0), (0.1, 3.0), (0.02, 1.0)])
def test_equals_pot_at_convergence(eps, scale):
    pot = pytest.importorskip("ot")  # codespell:ignore ot
    cost, source, target = random_problem(rows=16, columns=16, scale=scale)
    plan, residual = sinkhorn(cost, source, target, eps=eps, iterations=2000)
    assert residual.max() < 1e-4
    for n in range(len(cost)):
        theirs = pot.sinkhorn(
            normalised(source[n]).numpy(),
            normalised(target[n]).numpy(),
            cost[n].double().numpy(),
            eps,
            method="sinkhorn_log",
            numItermax=5000,
            stopThr=1e-8,
        )
        torch.testing.assert_close(
            plan[n].double(), torch.from_numpy(theirs), rtol=0, atol=1e-4 / 16
        )


def test_finds_a_permutation():
    torch.manual_seed(0)
    order = torch.stack([torch.randperm(12) for _ in range(4)])
    cost = 1 - torch.nn.functional.one_hot(order, 12).float() + 0.3 * torch.rand(4, 12, 12)
    plan, _ = sinkhorn(cost, torch.ones(4, 12), torch.ones(4, 12), eps=0.02, iterations=50)
    assert torch.equal(plan.argmax(2), order)
    assert plan.amax(2).min() > 0.99 / 12


def test_a_flat_cost_gives_the_product_of_the_masses():
    _, source, target = random_problem()
    plan, residual = sinkhorn(torch.full((3, 9, 7), 2.5), source, target, eps=0.005, iterations=3)
    product = normalised(source)[:, :, None] * normalised(target)[:, None]
    torch.testing.assert_close(plan.double(), product, rtol=1e-4, atol=0)
    assert residual.max() < 1e-5


def test_swapping_the_objects_transposes_the_plan():
    cost, source, target = random_problem()
    there, _ = sinkhorn(cost, source, target, eps=0.1, iterations=500)
    back, _ = sinkhorn(cost.mT, target, source, eps=0.1, iterations=500)
    torch.testing.assert_close(there, back.mT, rtol=1e-4, atol=1e-7)


def test_invariant_to_potentials_in_the_cost():
    cost, source, target = random_problem()
    shifted = cost + torch.randn(3, 9, 1) + torch.randn(3, 1, 7)
    plans = [sinkhorn(c, source, target, eps=0.1, iterations=500)[0] for c in (cost, shifted)]
    torch.testing.assert_close(*plans, rtol=1e-3, atol=1e-7)


def test_a_batch_equals_single_pairs():
    problem = random_problem()
    batch = sinkhorn(*problem, eps=0.05, iterations=30)
    for n in range(3):
        one = sinkhorn(*(x[n : n + 1] for x in problem), eps=0.05, iterations=30)
        torch.testing.assert_close((batch[0][n], batch[1][n]), (one[0][0], one[1][0]))


def test_no_pairs():
    plan, residual = sinkhorn(
        torch.rand(0, 4, 4), torch.ones(0, 4), torch.ones(0, 4), eps=0.1, iterations=20
    )
    assert plan.shape == (0, 4, 4)
    assert residual.shape == (0,)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("eps", [0.005, 0.05])
def test_extreme_costs_stay_finite(dtype, eps):
    cost, source, target = random_problem(rows=49, columns=49, scale=3.0)
    cost[1] = 3.0
    cost[1, :, 0] = -3.0  # every row wants the same column
    cost[2, :, 10:] = -cost[2, :, 10:].abs()
    cost = cost.to(dtype)
    plan, residual = sinkhorn(cost, source.to(dtype), target.to(dtype), eps=eps, iterations=300)
    assert plan.dtype == torch.float32
    assert plan.isfinite().all()
    torch.testing.assert_close(plan.sum((1, 2)), torch.ones(3))
    reference, _ = sinkhorn(
        cost.double(), source.to(dtype), target.to(dtype), eps=eps, iterations=300
    )
    torch.testing.assert_close(plan.double(), reference, rtol=0, atol=1e-4 / 49)


@pytest.mark.parametrize("eps", [0.005, 0.1])
def test_cells_of_zero_mass_do_not_affect_others(eps):
    cost, source, target = random_problem(rows=20, columns=21, scale=3.0)
    source[:, ::3], target[:, 1::4] = 0, 0
    plan, residual = sinkhorn(cost, source, target, eps=eps, iterations=100)
    rows, columns = source[0] > 0, target[0] > 0
    assert (plan[:, ~rows] == 0).all()
    assert (plan[:, :, ~columns] == 0).all()
    present = sinkhorn(
        cost[:, rows][:, :, columns], source[:, rows], target[:, columns], eps=eps, iterations=100
    )
    torch.testing.assert_close(plan[:, rows][:, :, columns], present[0], rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(residual, present[1], rtol=1e-2, atol=1e-5)


def test_all_zero_masses_count_as_uniform():
    cost, source, target = random_problem()
    nothing = sinkhorn(cost, source * 0, target, eps=0.1, iterations=20)
    uniform = sinkhorn(cost, torch.ones_like(source), target, eps=0.1, iterations=20)
    torch.testing.assert_close(nothing, uniform)


def test_residual_decreases_and_equals_the_row_error():
    problem = random_problem(rows=16, columns=16)
    found = [sinkhorn(*problem, eps=0.02, iterations=t) for t in (1, 5, 20, 80, 320)]
    residuals = torch.stack([residual for _, residual in found])
    assert (residuals.diff(dim=0) < 0).all()
    for plan, residual in found:
        rows = (plan.sum(2) - normalised(problem[1])).abs().sum(1)
        torch.testing.assert_close(residual, rows.float(), rtol=1e-3, atol=1e-6)
        torch.testing.assert_close(plan.sum(1).double(), normalised(problem[2]), rtol=1e-4, atol=0)


def test_stops_at_the_tolerance():
    problem = random_problem(rows=16, columns=16)
    full, _ = sinkhorn(*problem, eps=0.02, iterations=1000)
    plan, residual = sinkhorn(*problem, eps=0.02, iterations=1000, tolerance=1e-2)
    assert 1e-4 < residual.max() <= 1e-2
    assert not torch.equal(plan, full)
    never, _ = sinkhorn(*problem, eps=0.02, iterations=1000, tolerance=0.0)
    torch.testing.assert_close(never, full)


def test_residual_of_wrong_columns():
    plan = torch.tensor([[[0.5, 0.0], [0.5, 0.0]]])  # column sums 1 and 0 instead of 1/2 and 1/2
    torch.testing.assert_close(
        marginal_residual(plan, torch.ones(1, 2), torch.ones(1, 2)), torch.tensor([1.0])
    )


def test_gradients():
    cost, source, target = (x.double().requires_grad_() for x in random_problem(1, 4, 3))
    assert torch.autograd.gradcheck(
        lambda *problem: sinkhorn(*problem, eps=0.3, iterations=25)[0], (cost, source, target)
    )


def test_step_mass():
    masks = torch.tensor([[0.0, 0.5, 0.51, 1.0]])
    torch.testing.assert_close(step_mass(masks), torch.tensor([[0.6, 0.6, 1.0, 1.0]]))
    changed = step_mass(masks, low=0.0, high=2.0, threshold=0.6)
    torch.testing.assert_close(changed, torch.tensor([[0.0, 0.0, 0.0, 2.0]]))


def test_rejects_wrong_input():
    cost, source, target = random_problem()
    with pytest.raises(ValueError, match=r"Expected `target_mass` of shape \(P, M\) with M = 7"):
        sinkhorn(cost, source, source, eps=0.1, iterations=5)
    with pytest.raises(ValueError, match="Expected `eps` > 0 but got 0"):
        sinkhorn(cost, source, target, eps=0, iterations=5)
    with pytest.raises(ValueError, match="Expected `iterations` >= 1 but got 0"):
        scale_to_marginals(cost, source, target, iterations=0)


def exact_iterates(cost, source, target, eps, iterations):
    """Alg. 2 in the log domain and float64, for all pairs."""
    log_kernel = -cost.double() / eps
    log_source, log_target = normalised(source).log(), normalised(target).log()
    log_b = torch.zeros_like(log_target)
    for _ in range(iterations):
        log_a = log_source - (log_kernel + log_b[:, None]).logsumexp(2)
        log_b = log_target - (log_kernel + log_a[:, :, None]).logsumexp(1)
    return (log_kernel + log_a[:, :, None] + log_b[:, None]).exp()


@pytest.mark.parametrize("iterations", [1, 5, 20, 100, 500])
@pytest.mark.parametrize("sharpness", [50, 100, 200, 400])
def test_iterates_for_sharp_kernels(sharpness, iterations):
    """The documented bounds, on objects whose cells match as those of two images do."""
    torch.manual_seed(0)
    source = torch.nn.functional.normalize(torch.randn(16, 49, 16), dim=2)
    noise = 0.3 * torch.randn(16, 49, 16)
    target = torch.nn.functional.normalize(source.flip(1) + noise, dim=2)
    cost = -source @ target.mT
    masses = [step_mass(torch.rand(16, 49)) for _ in range(2)]
    eps = float(cost.max() - cost.min()) / sharpness
    plan, residual = sinkhorn(cost, *masses, eps=eps, iterations=iterations)
    exact = exact_iterates(cost, *masses, eps, iterations)
    difference = (plan.double() - exact).abs().sum((1, 2))
    assert (difference < (1e-3 if sharpness <= 100 else residual + 1e-3)).all()
