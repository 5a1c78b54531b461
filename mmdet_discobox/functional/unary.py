"""Corrections of the unary term: coarse masks before the mean field (Sec. 3.1).

Log-odds of different networks differ in scale. Smoothing cannot fix two errors of a coarse mask: a
mask that covers the whole box, and rows or columns of the box without foreground. No correction is
in the paper, whose teacher thresholds the mask at 0.5 and uses the box only as a border.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .checks import check_shapes
from .mil import cut_axes


def normalise_logits(logits: Tensor, inside: Tensor, *, rms: float) -> Tensor:
    """Scale the log-odds of each object to a given root mean square in its box.

    Makes the weight of the start against the colours independent of how confident its network is:
    a mask counts by the contrast between its certain and uncertain cells, not by the temperature of
    the logits. Divides by a root mean square of at least 1, so that the noise of an undecided
    network is not amplified beyond ``rms``.

    Args:
        logits: ``(N, H, W)`` log-odds of the foreground.
        inside: ``(N, H, W)`` boolean, pixels of the box.
        rms: root mean square of the result, above 0.

    Returns:
        ``(N, H, W)`` log-odds.

    Raises:
        ValueError: if ``rms`` is not positive.
    """
    check_shapes(logits=(logits, "N H W"), inside=(inside, "N H W"))
    if rms <= 0:
        raise ValueError(f"Expected `rms` to be positive but got {rms}.")
    mean_square = (logits.square() * inside).sum((1, 2)) / inside.sum((1, 2)).clamp_min(1)
    return logits * (rms / mean_square.clamp_min(1).sqrt())[:, None, None]


def suppress_full_masks(logits: Tensor, inside: Tensor, *, above: float) -> Tensor:
    """Down-weight masks that cover nearly the whole box, the trivial solution of MIL.

    Subtracts ``w max(0, mean(l))`` from the log-odds ``l`` of a box, where ``w`` rises linearly
    from 0 at a coverage of ``above`` to 1 at full coverage. Constant log-odds become 0, so colours
    decide; the least likely parts of a full mask become background. Other masks do not change.

    Args:
        logits: ``(N, H, W)`` log-odds of the foreground.
        inside: ``(N, H, W)`` boolean, pixels of the box.
        above: fraction of the box in [0, 1) that a mask may cover without being changed.

    Returns:
        ``(N, H, W)`` log-odds.

    Raises:
        ValueError: if ``above`` is not in [0, 1).
    """
    check_shapes(logits=(logits, "N H W"), inside=(inside, "N H W"))
    if not 0 <= above < 1:
        raise ValueError(f"Expected `above` to be in [0, 1) but got {above}.")
    pixels = inside.sum((1, 2), keepdim=True).clamp_min(1)
    coverage = ((logits > 0) & inside).sum((1, 2), keepdim=True) / pixels
    mean = (logits * inside).sum((1, 2), keepdim=True) / pixels
    return logits - mean.clamp_min(0) * ((coverage - above) / (1 - above)).clamp_min(0)


def raise_empty_bags(
    logits: Tensor, inside: Tensor, *, floor: float, cut_sides: Tensor | None = None
) -> Tensor:
    """Raise the log-odds of box rows and columns that contain no foreground.

    A tight box has a foreground pixel in each of its rows and columns, the positive bags of
    ``L_mil``. ``l_ij <- l_ij + max(0, floor - max_j l_ij)`` for the rows, then the same for the
    columns: the maximum of a bag reaches ``floor``, and its pixels keep their order. Bags above
    ``floor`` do not change, so a good mask does not grow. Neither do rows of a box that is cut
    along x and columns of one cut along y, which may be empty (:func:`.known_bags`).

    Args:
        logits: ``(N, H, W)`` log-odds of the foreground.
        inside: ``(N, H, W)`` boolean, pixels of the box.
        floor: minimum of the maximal log-odds of a bag.
        cut_sides: ``(N, 4)`` boolean, sides of the boxes cut by a crop; None: none.

    Returns:
        ``(N, H, W)`` log-odds; pixels outside the box do not change.
    """
    check_shapes(logits=(logits, "N H W"), inside=(inside, "N H W"))
    cut = (None, None) if cut_sides is None else cut_axes(cut_sides)[..., None, None].unbind(1)
    for axis, empty in zip((-1, -2), cut, strict=True):  # rows and the x axis, columns and y
        maximum = logits.masked_fill(~inside, float("-inf")).amax(axis, keepdim=True)
        raised = logits + (floor - maximum).clamp_min(0)
        changed = inside if empty is None else inside & ~empty
        logits = torch.where(changed, raised, logits)
    return logits
