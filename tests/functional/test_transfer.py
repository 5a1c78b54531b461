from __future__ import annotations

import pytest
import torch

from mmdet_discobox.functional.correspondence import cosine_similarity, iterated_conditional_modes
from mmdet_discobox.functional.transfer import match_cells, transfer_masks, transfer_points

SIZE = 6


def centres(size=SIZE):
    line = (torch.arange(size) + 0.5) / size
    return torch.cartesian_prod(line, line).flip(1)


def bumps(positions, *, size=SIZE, width=0.15):
    """Plans whose rows are Gaussians (in units of the box) around ``positions`` (P, N, 2)."""
    distance = (positions[:, :, None] - centres(size)).square().sum(-1)
    plan = torch.exp(-distance / (2 * width**2))
    return plan / plan.sum((1, 2), keepdim=True)


def random_plan(pairs=2, size=SIZE):
    torch.manual_seed(0)
    return torch.rand(pairs, size**2, size**2) ** 3


def random_points(pairs=2, count=50):
    torch.manual_seed(1)
    return torch.rand(pairs, count, 2)


def test_masks_equal_a_naive_loop():
    plan, masks = random_plan(), torch.rand(2, SIZE**2)
    ours = transfer_masks(plan, masks)
    for p in range(2):
        for n in range(SIZE**2):
            total = sum(float(plan[p, n, m] * masks[p, m]) for m in range(SIZE**2))
            assert float(ours[p, n]) == pytest.approx(total / float(plan[p, n].sum()), rel=1e-4)
    assert ours.min() >= 0
    assert ours.max() <= 1


def test_masks_of_a_permutation_and_of_empty_rows():
    order = torch.randperm(SIZE**2, generator=torch.Generator().manual_seed(0))
    plan, masks = torch.eye(SIZE**2)[order][None] / SIZE**2, torch.rand(1, SIZE**2)
    torch.testing.assert_close(transfer_masks(plan, masks), masks[:, order])
    plan[:, 3] = 0
    assert transfer_masks(plan, masks)[0, 3] == 0


def test_the_identity_moves_no_point():
    points = random_points(1)
    for plan in (torch.eye(SIZE**2)[None] / SIZE**2, bumps(centres()[None])):
        moved, certainty = transfer_points(plan, points, size=SIZE)
        torch.testing.assert_close(moved, points, rtol=0, atol=1e-5)
        assert (certainty > 0.5).all()
    assert (transfer_points(torch.eye(36)[None], points, size=SIZE)[1] == 1).all()


@pytest.mark.parametrize("width", [0.05, 0.15, 0.6])
def test_subcell_shifts_are_found_at_any_width(width):
    shift = torch.tensor([0.3, -0.4]) / SIZE
    positions, _ = match_cells(bumps(centres()[None] + shift, width=width), size=SIZE)
    # the mode of an inner cell has neighbours on all sides
    inner = ((centres() - 0.5).abs() < 0.5 - 1 / SIZE).all(1)
    torch.testing.assert_close(
        positions[0, inner], (centres() + shift)[inner], rtol=0, atol=1e-3 / SIZE
    )


def test_a_shift_by_cells_shifts_every_point():
    shift = torch.tensor([2.0, -1.0]) / SIZE
    inside = ((centres() + shift > 0) & (centres() + shift < 1)).all(1)
    plan = bumps(centres()[None] + shift, width=0.03) * inside[None, :, None]
    points = torch.tensor([[[0.1, 0.3], [0.4, 0.9], [0.55, 0.51]]])
    moved, _ = transfer_points(plan, points, size=SIZE)
    torch.testing.assert_close(moved, points + shift, rtol=0, atol=1e-5)


def test_a_linear_map_is_exact_between_cells():
    size, matrix = 14, torch.tensor([[0.7, 0.2], [-0.15, 0.8]])

    def warp(points):
        return 0.5 + (points - 0.5) @ matrix

    plan = bumps(warp(centres(size))[None], size=size, width=0.1)
    points = 0.1 + 0.8 * random_points(1)
    moved, _ = transfer_points(plan, points, size=size)
    assert (moved - warp(points)).norm(dim=-1).max() < 0.01 / size


def test_points_move_continuously():
    t = torch.linspace(0, 1, 2001)
    path = torch.stack([t, 0.2 + 0.5 * t], 1)[None]
    moved, certainty = transfer_points(random_plan(1), path, size=SIZE)
    assert moved.diff(dim=1).norm(dim=-1).max() < 0.02
    assert certainty.diff(dim=1).abs().max() < 0.01
    assert (moved - path).abs().max() > 0.1


def test_flipping_both_objects_flips_the_points():
    plan, points = random_plan(), random_points()
    flipped = plan.view(2, *[SIZE] * 4).flip(2, 4).reshape(plan.shape)
    mirror = torch.tensor([1.0, 0.0])
    there, sure = transfer_points(plan, points, size=SIZE)
    back, same = transfer_points(flipped, (mirror - points).abs(), size=SIZE)
    sign = torch.tensor([-1.0, 1.0])
    torch.testing.assert_close(mirror + sign * there, back, rtol=0, atol=1e-5)
    torch.testing.assert_close(sure, same)


def test_transposing_the_box_transposes_the_points():
    plan, points = random_plan(), random_points()
    turned = plan.view(2, *[SIZE] * 4).permute(0, 2, 1, 4, 3).reshape(plan.shape)
    there, _ = transfer_points(plan, points, size=SIZE)
    back, _ = transfer_points(turned, points.flip(2), size=SIZE)
    torch.testing.assert_close(there.flip(2), back, rtol=0, atol=1e-5)


def test_invariant_to_the_scale_of_rows():
    plan, points = random_plan(), random_points()
    scaled = plan * torch.rand(2, SIZE**2, 1).add(0.1)
    found, same = (transfer_points(x, points, size=SIZE) for x in (plan, scaled))
    torch.testing.assert_close(found, same, rtol=1e-4, atol=1e-5)


def test_certainty_is_the_fraction_around_the_mode():
    plan = torch.full((1, 36, 36), 1.0)
    plan[0, :, 14] = 10.0  # an inner cell: 8 neighbours of mass 1
    torch.testing.assert_close(
        match_cells(plan, size=SIZE)[1], torch.full((1, 36), (10 + 8) / (10 + 35))
    )
    plan[0, :, 0] = 20.0  # a corner: 3 neighbours
    positions, certainty = match_cells(plan, size=SIZE)
    torch.testing.assert_close(certainty, torch.full((1, 36), (20 + 3) / (20 + 10 + 34)))
    torch.testing.assert_close(positions, torch.full((1, 36, 2), 0.5 / SIZE))


def test_points_between_empty_rows_do_not_move():
    points = random_points(1)
    moved, certainty = transfer_points(torch.zeros(1, 36, 36), points, size=SIZE)
    torch.testing.assert_close(moved, points)
    assert (certainty == 0).all()


def test_subcell_positions_beat_the_mode_on_warps():
    torch.manual_seed(0)
    size, side = 7, 56
    line = (torch.arange(side) + 0.5) / side * 2 - 1
    grid = torch.stack(torch.meshgrid(line, line, indexing="xy"), -1)
    matrix = torch.tensor([[0.9, 0.15], [-0.1, 0.95]])
    image = torch.nn.functional.interpolate(torch.randn(4, 32, 8, 8), size=side, mode="bicubic")
    warped = torch.nn.functional.grid_sample(
        image, (grid @ matrix).expand(4, -1, -1, -1), align_corners=False
    )
    pair = (torch.nn.functional.adaptive_avg_pool2d(x, size) for x in (image, warped))
    uniform = torch.ones(4, size**2)
    plan = iterated_conditional_modes(
        cosine_similarity(*pair), uniform, uniform, size=size, gamma=2.0, iterations=2
    )[0]
    goals = 0.15 + 0.7 * random_points(4)
    points = ((2 * goals - 1) @ matrix + 1) / 2
    ours = (transfer_points(plan, points, size=size)[0] - goals).norm(dim=-1)
    cells = (points * size).long().clamp(max=size - 1)
    best = plan.argmax(2).gather(1, cells[..., 1] * size + cells[..., 0])
    coarse = (centres(size)[best] - goals).norm(dim=-1)
    assert ours.mean() < 0.5 * coarse.mean()
    assert ours.mean() < 0.3 / size


def test_no_pairs_and_no_points():
    plan = torch.zeros(0, 36, 36)
    assert transfer_points(plan, torch.zeros(0, 5, 2), size=SIZE)[0].shape == (0, 5, 2)
    assert transfer_points(random_plan(), torch.zeros(2, 0, 2), size=SIZE)[0].shape == (2, 0, 2)
    assert transfer_masks(plan, torch.zeros(0, 36)).shape == (0, 36)


def test_rejects_wrong_input():
    with pytest.raises(ValueError, match=r"Expected `target_masks` of shape \(P, M\)"):
        transfer_masks(random_plan(), torch.rand(2, 9))
    with pytest.raises(ValueError, match=r"Expected `plan` of shape \(P, 25, 25\)"):
        match_cells(random_plan(), size=5)
    with pytest.raises(ValueError, match=r"Expected `points` of shape \(P, K, 2\)"):
        transfer_points(random_plan(), torch.rand(2, 5, 3), size=SIZE)
