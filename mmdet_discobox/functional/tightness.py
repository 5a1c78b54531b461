"""The box's tightness as a prior on the unary term (Sec. 3.1).

A tight box promises a foreground pixel in each of its rows and columns: the positive bags of
``L_mil``. A coarse mask that breaks the promise (an arm it missed, a small object it hardly saw)
cannot be mended by smoothing, which only ever makes such a part smaller.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .checks import check_shapes


def lift_to_box(logits: Tensor, inside: Tensor, *, floor: float) -> Tensor:
    """Raise the rows and columns of a box that hold no foreground.

    ``l_ij <- l_ij + max(0, floor - max_j l_ij)`` for the rows, then the same for the columns. The
    order of the pixels within a bag stays: its most likely pixels reach ``floor``, and the rest
    follow. Bags that keep the promise are left alone, so it cannot make a good mask grow. Not in
    the paper, whose teacher knows the box as a border only.

    Args:
        logits: ``(N, H, W)`` log-odds of the foreground.
        inside: ``(N, H, W)`` boolean, pixels of the box.
        floor: the log-odds that each bag must reach.

    Returns:
        ``(N, H, W)`` log-odds; pixels outside the box are unchanged.
    """
    check_shapes(logits=(logits, "N H W"), inside=(inside, "N H W"))
    for axis in (-1, -2):
        best = logits.masked_fill(~inside, float("-inf")).amax(axis, keepdim=True)
        lifted = logits + (floor - best).clamp_min(0)
        logits = torch.where(inside, lifted, logits)
    return logits
