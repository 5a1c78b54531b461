"""Colour space of the pairwise term.

The paper compares RGB colours (Sec. 3.2). CIE Lab distances are perceptually uniform and give
better masks on photographs. The structured teacher supports both.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .numerics import constants_like

# sRGB (D65) to XYZ, each row divided by the white point: white maps to (1, 1, 1).
_RGB_TO_XYZ = (
    (0.412453 / 0.950456, 0.357580 / 0.950456, 0.180423 / 0.950456),
    (0.212671, 0.715160, 0.072169),
    (0.019334 / 1.088754, 0.119193 / 1.088754, 0.950227 / 1.088754),
)


def rgb_to_lab(rgb: Tensor) -> Tensor:
    """Convert sRGB to CIE Lab (D65, 2 degree observer).

    Args:
        rgb: ``(N, 3, H, W)`` in [0, 255].

    Returns:
        ``(N, 3, H, W)``: L in [0, 100], a and b about [-128, 127].

    Raises:
        ValueError: if there are not three channels.
    """
    if rgb.ndim != 4 or rgb.shape[1] != 3:
        raise ValueError(f"Expected `rgb` of shape (N, 3, H, W) but got {tuple(rgb.shape)}.")
    unit = (rgb / 255).clamp(0, 1)
    linear = torch.where(unit <= 0.04045, unit / 12.92, ((unit + 0.055) / 1.055) ** 2.4)
    matrix = constants_like([factor for row in _RGB_TO_XYZ for factor in row], rgb).view(3, 3)
    xyz = torch.einsum("xc,nchw->nxhw", matrix, linear)  # x: X, Y, Z; c: R, G, B
    cubic = torch.where(xyz > 0.008856, xyz.clamp_min(1e-12) ** (1 / 3), 7.787 * xyz + 16 / 116)
    x, y, z = cubic.unbind(1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], 1)
