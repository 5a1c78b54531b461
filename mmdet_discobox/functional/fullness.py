"""Doubt about masks that fill their box.

Multiple-instance learning has a trivial solution: the full box. It satisfies every bag, so a young
student sits in it, sure of itself, and a teacher that takes its word for it teaches it to stay.
"""

from __future__ import annotations

from torch import Tensor

from .checks import check_shapes


def doubt_fullness(logits: Tensor, inside: Tensor, *, above: float) -> Tensor:
    """Take the evidence out of masks that fill their box, and leave what varies within it.

    From the log-odds of each box their mean is subtracted (if that is positive), times a weight
    that rises from 0, where the mask fills the share ``above`` of the box, to 1 where it fills all
    of it. A constant becomes "unknown", and colours decide; of a full mask with darker corners the
    corners turn to background. Sparser masks are left alone. Not in the paper.

    Args:
        logits: ``(N, H, W)`` log-odds of the foreground.
        inside: ``(N, H, W)`` boolean, pixels of the box.
        above: share of the box in [0, 1) up to which a mask is believed.

    Returns:
        ``(N, H, W)`` log-odds.

    Raises:
        ValueError: if ``above`` is not in [0, 1).
    """
    check_shapes(logits=(logits, "N H W"), inside=(inside, "N H W"))
    if not 0 <= above < 1:
        raise ValueError(f"Expected `above` to be in [0, 1) but got {above}.")
    pixels = inside.sum((1, 2), keepdim=True).clamp_min(1)
    fill = ((logits > 0) & inside).sum((1, 2), keepdim=True) / pixels
    mean = (logits * inside).sum((1, 2), keepdim=True) / pixels
    return logits - mean.clamp_min(0) * ((fill - above) / (1 - above)).clamp_min(0)
