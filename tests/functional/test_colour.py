from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from mmdet_discobox.functional import rgb_to_lab


def naive_lab(red, green, blue):
    """CIE 15: one colour, from the definitions of sRGB and of L*a*b*."""
    r, g, b = (
        v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4
        for v in (red / 255, green / 255, blue / 255)
    )
    x = (0.412453 * r + 0.357580 * g + 0.180423 * b) / 0.950456
    y = 0.212671 * r + 0.715160 * g + 0.072169 * b
    z = (0.019334 * r + 0.119193 * g + 0.950227 * b) / 1.088754
    fx, fy, fz = (t ** (1 / 3) if t > (6 / 29) ** 3 else 841 / 108 * t + 4 / 29 for t in (x, y, z))
    return [116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)]


def test_equals_the_definition():
    rgb = np.random.default_rng(0).uniform(0, 255, (50, 3))
    rgb[:3] = [[0, 0, 0], [255, 255, 255], [1, 2, 3]]
    ours = rgb_to_lab(torch.from_numpy(rgb.T.reshape(1, 3, 1, 50)))[0, :, 0].T
    np.testing.assert_allclose(ours.numpy(), [naive_lab(*c) for c in rgb], atol=1e-2)


def test_equals_opencv():
    rgb = np.random.default_rng(0).integers(0, 256, (17, 23, 3)).astype(np.float32)
    rgb[0, :3] = [[0, 0, 0], [255, 255, 255], [1, 2, 3]]
    expected = cv2.cvtColor(rgb / 255, cv2.COLOR_RGB2Lab)
    ours = rgb_to_lab(torch.from_numpy(rgb).permute(2, 0, 1)[None])[0].permute(1, 2, 0)
    # OpenCV interpolates in a table of steps of 1/8
    np.testing.assert_allclose(ours.numpy(), expected, atol=0.3)


def test_greys_have_no_colour():
    greys = torch.linspace(0, 255, 20).view(1, 1, 1, 20).repeat(1, 3, 1, 1)
    lab = rgb_to_lab(greys)
    assert lab[:, 1:].abs().max() < 1e-2
    assert (lab[0, 0, 0].diff() > 0).all()


def test_values_out_of_range_are_clipped():
    wild = torch.tensor([-40.0, 300.0]).view(1, 1, 1, 2).repeat(1, 3, 1, 1)
    torch.testing.assert_close(
        rgb_to_lab(wild)[0, 0, 0], torch.tensor([0.0, 100.0]), atol=1e-2, rtol=0
    )


def test_rejects_other_channels():
    with pytest.raises(ValueError, match=r"Expected `rgb` of shape \(N, 3, H, W\)"):
        rgb_to_lab(torch.zeros(3, 4, 4))
