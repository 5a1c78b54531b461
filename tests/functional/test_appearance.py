from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from mmdet_discobox.functional import appearance_evidence, colour_kernel

SIDE = 16


def evidence_of(colours, probs, valid, *, bandwidth, **kwargs):
    return appearance_evidence(colour_kernel(colours, bandwidth=bandwidth), probs, valid, **kwargs)


def naive(colours, probs, valid, bandwidth, floor):
    """The log-ratio at the 2 x 2 blocks, loop by loop in float64."""
    coarse = {}
    for y in range(0, SIDE, 4):
        for x in range(0, SIDE, 4):
            cells = [(y + i, x + j) for i in range(4) for j in range(4)]
            colour = sum(colours[:, i, j] for i, j in cells) / 16
            fore = sum(float(probs[i, j]) * bool(valid[i, j]) for i, j in cells)
            known = sum(bool(valid[i, j]) for i, j in cells)
            coarse[y, x] = (colour, fore, known - fore)
    totals = [sum(entry[k] for entry in coarse.values()) for k in (1, 2)]
    out = torch.zeros(SIDE // 2, SIDE // 2, dtype=torch.float64)
    for y in range(SIDE // 2):
        for x in range(SIDE // 2):
            mine = colours[:, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2].mean((1, 2))
            density = [0.0, 0.0]
            for colour, *weights in coarse.values():
                kernel = math.exp(-float((mine - colour).square().sum()) / (2 * bandwidth**2))
                for k in range(2):
                    density[k] += kernel * weights[k] / max(totals[k], 1e-9)
            out[y, x] = math.log(density[0] + floor) - math.log(density[1] + floor)
    return out


def random_case(seed=0, count=2):
    generator = torch.Generator().manual_seed(seed)
    colours = 30 * torch.randn(count, 3, SIDE, SIDE, generator=generator, dtype=torch.float64)
    probs = torch.rand(count, SIDE, SIDE, generator=generator, dtype=torch.float64)
    valid = torch.rand(count, SIDE, SIDE, generator=generator) < 0.8
    return colours, probs, valid


def test_equals_loops():
    colours, probs, valid = random_case()
    found = evidence_of(colours, probs, valid, bandwidth=20.0, floor=0.05)
    for n in range(len(colours)):
        blocks = naive(colours[n], probs[n], valid[n], 20.0, 0.05)
        expected = F.interpolate(blocks[None, None], scale_factor=2, mode="bilinear")[0, 0]
        torch.testing.assert_close(found[n], expected)


def test_distinct_colours_separate_foreground_and_background():
    colours = torch.zeros(1, 3, SIDE, SIDE)
    colours[:, 0, :, :8] = 60
    probs = torch.zeros(1, SIDE, SIDE)
    probs[:, :, :8] = 0.6
    probs[:, :, 8:] = 0.3
    evidence = evidence_of(colours, probs, probs > 0, bandwidth=4.0)
    assert (evidence[:, :, :6] > 0.2).all()
    assert (evidence[:, :, 10:] < -0.2).all()


def test_swapping_the_labels_flips_the_sign():
    colours, probs, valid = random_case()
    there = evidence_of(colours, probs, valid, bandwidth=9.0)
    back = evidence_of(colours, 1 - probs, valid, bandwidth=9.0)
    torch.testing.assert_close(there, -back)


def test_bounded_and_zero_for_flat_colours():
    colours, probs, valid = random_case()
    evidence = evidence_of(colours, probs, valid, bandwidth=1.0, floor=0.02)
    assert evidence.abs().max() <= math.log(1.02 / 0.02) + 1e-9
    flat = evidence_of(torch.ones_like(colours), probs, valid, bandwidth=1.0)
    torch.testing.assert_close(flat, torch.zeros_like(flat))


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_finite_with_one_label_or_without_visible_cells(label):
    colours, probs, valid = random_case()
    probs = torch.full_like(probs, label)
    assert evidence_of(colours, probs, valid, bandwidth=4.0).isfinite().all()
    nothing = evidence_of(colours, probs, torch.zeros_like(valid), bandwidth=4.0)
    torch.testing.assert_close(nothing, torch.zeros_like(nothing))


def test_rejects():
    colours, probs, valid = random_case()
    with pytest.raises(ValueError, match="`bandwidth` to be positive but got 0"):
        colour_kernel(colours, bandwidth=0)
    with pytest.raises(ValueError, match="multiple of 4 but got 14"):
        colour_kernel(colours[..., :14, :14], bandwidth=1.0)
    with pytest.raises(ValueError, match="kernel"):
        evidence_of(colours, probs[:, :8, :8], valid[:, :8, :8], bandwidth=1.0)
