from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from mmdet_discobox.functional import rgb_to_lab


def test_equals_opencv():
    rgb = np.random.default_rng(0).integers(0, 256, (17, 23, 3)).astype(np.float32)
    rgb[0, :3] = [[0, 0, 0], [255, 255, 255], [1, 2, 3]]
    expected = cv2.cvtColor(rgb / 255, cv2.COLOR_RGB2Lab)
    ours = rgb_to_lab(torch.from_numpy(rgb).permute(2, 0, 1)[None])[0].permute(1, 2, 0)
    # OpenCV interpolates the sRGB curve from a table
    np.testing.assert_allclose(ours.numpy(), expected, atol=0.1)


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
