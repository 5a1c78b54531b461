from __future__ import annotations

import math

import pytest
import torch

from mmdet_discobox.functional import (
    colour_affinity,
    mean_field,
    mean_field_alg1,
    neighbour_offsets,
)

OFFSETS = neighbour_offsets((1,))


def neighbours(r, c, height, width, offsets):
    for k, (dy, dx) in enumerate(offsets):
        if 0 <= r + dy < height and 0 <= c + dx < width:
            yield k, r + dy, c + dx


def naive_mean_field(unary, affinity, offsets, iterations):
    """Two-label mean field from the Potts energy: q_i(a) ~ exp(-psi_i(a) - sum_j k q_j(not a))."""
    height, width = unary.shape
    foreground = torch.sigmoid(unary.double())
    for _ in range(iterations):
        updated = foreground.clone()
        for r in range(height):
            for c in range(width):
                energy = [0.0, -float(unary[r, c])]
                for k, y, x in neighbours(r, c, height, width, offsets):
                    weight, q = float(affinity[k, r, c]), float(foreground[y, x])
                    energy[0] += weight * q
                    energy[1] += weight * (1 - q)
                zero, one = (math.exp(-e) for e in energy)
                updated[r, c] = one / (zero + one)
        foreground = updated
    return foreground


def naive_alg1(probs, affinity, offsets, iterations):
    """Alg. 1, lines 1-23, with both labels kept; the returned labels are line 21's."""
    height, width = probs.shape

    def phi(x):
        return 0.3 if x <= 0.5 else 0.7

    q = [[[-math.log(phi(1 - p)), -math.log(phi(p))] for p in row] for row in probs.tolist()]
    for r in range(height):
        for c in range(width):
            if probs[r, c] == 0.5:
                q[r][c] = [-math.log(0.7), -math.log(0.3)]
    for _ in range(iterations):
        new = [[[0.0, 0.0] for _ in range(width)] for _ in range(height)]
        for r in range(height):
            for c in range(width):
                hat = [0.0, 0.0]
                for k, y, x in neighbours(r, c, height, width, offsets):
                    for label in (0, 1):
                        hat[label] += float(affinity[k, r, c]) * q[y][x][label]
                p = [math.exp(-hat[label] - q[r][c][label]) for label in (0, 1)]
                p = [phi(v / sum(p)) for v in p]
                new[r][c] = [-math.log(v / sum(p)) for v in p]
        q = new
    return torch.tensor([[math.exp(-cell[1]) > 0.5 for cell in row] for row in q])


@pytest.fixture
def problem():
    torch.manual_seed(0)
    colours = torch.rand(2, 3, 6, 7) * 40
    affinity = colour_affinity(colours, OFFSETS, w1=0.5, zeta=20.0)
    return torch.randn(2, 6, 7), affinity


@pytest.mark.parametrize("iterations", [1, 4])
def test_mean_field_equals_a_naive_potts_loop(problem, iterations):
    unary, affinity = problem
    ours = mean_field(unary, affinity, OFFSETS, iterations=iterations).sigmoid()
    for n in range(2):
        naive = naive_mean_field(unary[n], affinity[:, n], OFFSETS, iterations)
        torch.testing.assert_close(ours[n].double(), naive, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("iterations", [1, 3])
def test_alg1_equals_a_naive_loop(problem, iterations):
    unary, affinity = problem
    probs = unary.sigmoid()
    ours = mean_field_alg1(probs, affinity, OFFSETS, iterations=iterations) > 0
    for n in range(2):
        assert torch.equal(ours[n], naive_alg1(probs[n], affinity[:, n], OFFSETS, iterations))


def test_gradients():
    torch.manual_seed(0)
    unary = torch.randn(1, 3, 3, dtype=torch.float64, requires_grad=True)
    affinity = torch.rand(8, 1, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda u, a: mean_field(u, a, OFFSETS, iterations=3), (unary, affinity)
    )


def test_zero_affinity_gives_unary_plus_cross_term(problem):
    unary, affinity = problem
    nothing, cross = torch.zeros_like(affinity), torch.randn_like(unary)
    out = mean_field(unary, nothing, OFFSETS, iterations=5, cross=cross)
    torch.testing.assert_close(out, unary + cross)
    labels = mean_field_alg1(unary.sigmoid(), nothing, OFFSETS, iterations=5) > 0
    assert torch.equal(labels, unary > 0)


def test_the_cross_term_decides_in_alg1(problem):
    unary, affinity = problem
    push = torch.full_like(unary, 100.0)
    out = mean_field_alg1(unary.sigmoid(), affinity, OFFSETS, iterations=1, cross=push)
    assert (out > 0).all()


def test_swapping_the_labels_negates(problem):
    unary, affinity = problem
    there = mean_field(unary, affinity, OFFSETS, iterations=4)
    back = mean_field(-unary, affinity, OFFSETS, iterations=4)
    torch.testing.assert_close(there, -back)


def test_flipping_the_image_flips_the_masks():
    torch.manual_seed(0)
    colours, unary = torch.rand(1, 3, 6, 7) * 40, torch.randn(1, 6, 7)
    out = [
        mean_field(u, colour_affinity(c, OFFSETS, w1=0.5, zeta=20.0), OFFSETS, iterations=4)
        for c, u in ((colours, unary), (colours.flip(-1), unary.flip(-1)))
    ]
    torch.testing.assert_close(out[0].flip(-1), out[1])


def test_a_batch_equals_single_objects(problem):
    unary, affinity = problem
    for solve in (mean_field, mean_field_alg1):
        batch = solve(unary, affinity, OFFSETS, iterations=3)
        for n in range(2):
            one = solve(unary[n : n + 1], affinity[:, n : n + 1], OFFSETS, iterations=3)
            torch.testing.assert_close(batch[n : n + 1], one)


def test_a_larger_weight_smooths_more(problem):
    unary, affinity = problem

    def roughness(scale):
        probs = mean_field(unary, scale * affinity, OFFSETS, iterations=10).sigmoid()
        return float(probs.diff(dim=-1).abs().sum())

    assert roughness(1.0) < roughness(0.3) < roughness(0.0)


def test_fixed_pixels_keep_their_unary(problem):
    unary, affinity = problem
    fixed = torch.rand_like(unary) > 0.5
    out = mean_field(unary, affinity, OFFSETS, iterations=4, fixed=fixed)
    torch.testing.assert_close(out[fixed], unary[fixed])


def test_alg1_does_not_change_a_full_box():
    affinity = colour_affinity(torch.rand(1, 3, 8, 8) * 255, OFFSETS, w1=2.0, zeta=29.0)
    out = mean_field_alg1(torch.ones(1, 8, 8), affinity, OFFSETS, iterations=10)
    torch.testing.assert_close(out, torch.full((1, 8, 8), math.log(0.7 / 0.3)))


def test_alg1_counts_a_tie_as_background():
    affinity = torch.zeros(8, 1, 3, 3)
    out = mean_field_alg1(torch.full((1, 3, 3), 0.5), affinity, OFFSETS, iterations=0)
    assert (out < 0).all()


@pytest.mark.parametrize("solve", [mean_field, mean_field_alg1])
def test_rejects_wrong_shapes(solve, problem):
    unary, affinity = problem
    with pytest.raises(ValueError, match=r"Expected `affinity` of shape \(8, N, H, W\)"):
        solve(unary, affinity[:4], OFFSETS, iterations=1)
    with pytest.raises(ValueError, match="Expected `cross`"):
        solve(unary, affinity, OFFSETS, iterations=1, cross=unary[:, :2])
    with pytest.raises(ValueError, match="Expected `fixed`"):
        solve(unary, affinity, OFFSETS, iterations=1, fixed=unary[0] > 0)
