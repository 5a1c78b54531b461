from __future__ import annotations

import math

import pytest
import torch

from mmdet_discobox.functional import (
    colour_affinity,
    gather_neighbours,
    neighbour_offsets,
    sum_messages,
)


def naive_affinity(colours, offsets, w1, zeta, valid):
    """k(i, j) of Alg. 1, line 4, pixel by pixel in double precision."""
    n, _, height, width = colours.shape
    out = torch.zeros(len(offsets), n, height, width, dtype=torch.float64)
    for k, (dy, dx) in enumerate(offsets):
        for b in range(n):
            for r in range(height):
                for c in range(width):
                    y, x = r + dy, c + dx
                    if 0 <= y < height and 0 <= x < width and valid[b, y, x]:
                        gap = (colours[b, :, r, c] - colours[b, :, y, x]).double()
                        out[k, b, r, c] = w1 * math.exp(-float(gap @ gap) / (2 * zeta**2))
    return out


def test_offsets_are_eight_per_dilation_without_the_centre():
    offsets = neighbour_offsets((1, 3))
    assert len(set(offsets)) == 16
    assert {max(abs(y), abs(x)) for y, x in offsets} == {1, 3}


@pytest.mark.parametrize("dilations", [(1,), (1, 2, 4)])
def test_affinity_equals_a_naive_loop(dilations):
    torch.manual_seed(0)
    colours, valid = torch.rand(2, 3, 5, 6) * 50, torch.rand(2, 5, 6) > 0.2
    offsets = neighbour_offsets(dilations)
    ours = colour_affinity(colours, offsets, w1=0.7, zeta=20.0, valid=valid)
    naive = naive_affinity(colours, offsets, 0.7, 20.0, valid)
    torch.testing.assert_close(ours.double(), naive, rtol=1e-5, atol=1e-6)


def test_affinity_is_symmetric():
    colours = torch.rand(1, 3, 6, 6) * 40
    kernel = colour_affinity(colours, [(1, 2), (-1, -2)], w1=1.0, zeta=10.0)[:, 0]
    torch.testing.assert_close(kernel[0, :5, :4], kernel[1, 1:, 2:])


def test_flat_colours_give_w1():
    kernel = colour_affinity(torch.full((1, 3, 4, 4), 9.0), [(0, 1)], w1=0.3, zeta=1.0)
    torch.testing.assert_close(kernel[0, 0, :, :3], torch.full((4, 3), 0.3))
    assert (kernel[0, 0, :, 3] == 0).all()


def test_messages_equal_the_sum_over_gathered_neighbours():
    torch.manual_seed(0)
    offsets = neighbour_offsets((1, 3))
    affinity, values = torch.rand(16, 2, 5, 7), torch.randn(2, 5, 7)
    expected = (affinity * gather_neighbours(values, offsets)).sum(0)
    torch.testing.assert_close(sum_messages(affinity, values, offsets), expected)


def test_gather_fills_beyond_the_grid():
    values = torch.arange(6.0).view(2, 3)
    right = gather_neighbours(values, [(0, 1)], fill=-1.0)[0]
    assert right.tolist() == [[1, 2, -1], [4, 5, -1]]


@pytest.mark.parametrize("dilations", [(), (0,), (1, -2)])
def test_rejects_bad_dilations(dilations):
    with pytest.raises(ValueError, match="Expected `dilations` to be positive"):
        neighbour_offsets(dilations)


def test_rejects_bad_bandwidth_and_shapes():
    colours = torch.zeros(1, 3, 4, 4)
    with pytest.raises(ValueError, match="Expected `zeta` to be positive"):
        colour_affinity(colours, [(0, 1)], w1=1.0, zeta=0.0)
    with pytest.raises(ValueError, match=r"Expected `valid` of shape \(N, H, W\)"):
        colour_affinity(colours, [(0, 1)], w1=1.0, zeta=1.0, valid=torch.ones(4, 4))
