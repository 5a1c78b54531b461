"""Multiple-instance learning on boxes (Sec. 3.1, ``L_mil``).

A tight box constrains its mask in two ways: every row and column that crosses the box contains a
foreground pixel (positive bags), and all other rows and columns contain none (negative bags). The
score of a bag is the maximum of the mask over its pixels. The maximum commutes with the sigmoid,
so bags are reduced on the logits. What a crop leaves of a box is not tight: :func:`known_bags`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .checks import check_shapes


def bag_logits(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the maximum of each row and each column, ``max b_i`` of Sec. 3.1 in logits.

    Args:
        logits: ``(N, H, W)`` mask logits.

    Returns:
        ``(N, H)`` scores of the rows and ``(N, W)`` scores of the columns.
    """
    check_shapes(logits=(logits, "N H W"))
    return logits.amax(-1), logits.amax(-2)


def known_bags(rows: Tensor, cols: Tensor, cut_sides: Tensor) -> tuple[Tensor, Tensor]:
    """Mark the bags whose label holds for a box that a crop has cut (not in the paper).

    Let a crop at a vertical border remove the right part of a box, so that ``x2`` is cut:

    - A row of the whole box contains the object, but perhaps only in the part that was removed. No
      row inside the remaining box is known to be positive, however narrow the removed part.
    - A column of the remaining box is complete: all its rows are still there. The tight box
      promises a foreground pixel in it, so it stays positive, up to the border of the crop.
    - The object lies in the box, so its remainder lies in the remaining box: all rows and columns
      outside stay negative.

    Hence a cut ``x1`` or ``x2`` makes the rows inside the box unknown, a cut ``y1`` or ``y2`` the
    columns. With cuts along both axes only the negative bags are left: the object may lie in the
    removed part altogether.

    Args:
        rows: ``(N, H)`` boolean labels of the rows, True inside the box.
        cols: ``(N, W)`` boolean labels of the columns.
        cut_sides: ``(N, 4)`` boolean, whether ``(x1, y1, x2, y2)`` is cut.

    Returns:
        ``(N, H)`` and ``(N, W)`` boolean.
    """
    check_shapes(rows=(rows, "N H"), cols=(cols, "N W"), cut_sides=(cut_sides, "N 4"))
    cut_x, cut_y = cut_axes(cut_sides).unbind(-1)
    return ~(rows & cut_x[:, None]), ~(cols & cut_y[:, None])


def cut_axes(cut_sides: Tensor) -> Tensor:
    """Return ``(N, 2)`` boolean, whether each box is cut along x and along y, of its cut sides."""
    return cut_sides[:, :2] | cut_sides[:, 2:]


def mil_dice_loss(
    logits: Tensor,
    rows: Tensor,
    cols: Tensor,
    *,
    known: tuple[Tensor, Tensor] | None = None,
    eps: float = 1e-3,
) -> Tensor:
    """Compute the Dice form of ``L_mil``, used for SOLOv2 (Sec. 3.1).

    ``sum over {rows, cols} of 1 - 2 <p, y> / (<p, p> + <y, y>)`` with ``p = sigmoid(max b)``. The
    paper states only "similarly defined with Dice Loss"; the squared denominators are SOLOv2's.

    Args:
        logits: ``(N, H, W)`` mask logits.
        rows: ``(N, H)`` bag labels of the rows, in [0, 1].
        cols: ``(N, W)`` bag labels of the columns, in [0, 1].
        known: ``(N, H)`` and ``(N, W)`` boolean, bags whose label holds, see :func:`known_bags`.
            The others receive no gradient. They count with their present score as the label: left
            out, they would take the overlap with them, without which Dice has no gradient outside
            the box. None: all of them.
        eps: added to numerator and denominator, so that two empty vectors have loss 0.

    Returns:
        ``(N,)`` losses in [0, 2].
    """
    check_shapes(logits=(logits, "N H W"), rows=(rows, "N H"), cols=(cols, "N W"))
    row_logits, col_logits = bag_logits(logits.float())
    known_rows, known_cols = (None, None) if known is None else known
    return _dice(row_logits, rows, known_rows, eps) + _dice(col_logits, cols, known_cols, eps)


def _dice(logits: Tensor, labels: Tensor, known: Tensor | None, eps: float) -> Tensor:
    probs, labels = logits.sigmoid(), labels.float()
    if known is not None:
        present = probs.detach()
        probs, labels = torch.where(known, probs, present), torch.where(known, labels, present)
    overlap = (probs * labels).sum(-1)
    return 1 - (2 * overlap + eps) / (probs.square().sum(-1) + labels.square().sum(-1) + eps)


def mil_bce_loss(
    logits: Tensor, rows: Tensor, cols: Tensor, *, known: tuple[Tensor, Tensor] | None = None
) -> Tensor:
    """Compute the cross-entropy form of ``L_mil``, used for YOLACT++ (Sec. 3.1).

    ``-sum_i y_i log(max b_i) + (1 - y_i) log(1 - max b_i)``. Departure: the mean over bags instead
    of the sum, so that the scale does not depend on the image size.

    Args:
        logits: ``(N, H, W)`` mask logits.
        rows: ``(N, H)`` bag labels of the rows, in [0, 1].
        cols: ``(N, W)`` bag labels of the columns, in [0, 1].
        known: ``(N, H)`` and ``(N, W)`` boolean, bags whose label holds, see :func:`known_bags`.
            The others have no loss and still count in the mean, so that a known bag weighs the same
            in every box. None: all of them.

    Returns:
        ``(N,)`` losses, at least 0.
    """
    check_shapes(logits=(logits, "N H W"), rows=(rows, "N H"), cols=(cols, "N W"))
    row_logits, col_logits = bag_logits(logits.float())
    row_loss = F.binary_cross_entropy_with_logits(row_logits, rows.float(), reduction="none")
    col_loss = F.binary_cross_entropy_with_logits(col_logits, cols.float(), reduction="none")
    if known is not None:
        row_loss, col_loss = row_loss * known[0], col_loss * known[1]
    return (row_loss.sum(-1) + col_loss.sum(-1)) / (rows.shape[-1] + cols.shape[-1])
