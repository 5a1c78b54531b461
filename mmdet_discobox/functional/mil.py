"""Multiple-instance learning on boxes (Sec. 3.1, ``L_mil``).

A tight box constrains its mask in two ways: every row and column that crosses the box contains a
foreground pixel (positive bags), and all other rows and columns contain none (negative bags). The
score of a bag is the maximum of the mask over its pixels. The maximum commutes with the sigmoid,
so bags are reduced on the logits.
"""

from __future__ import annotations

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


def mil_dice_loss(logits: Tensor, rows: Tensor, cols: Tensor, *, eps: float = 1e-3) -> Tensor:
    """Compute the Dice form of ``L_mil``, used for SOLOv2 (Sec. 3.1).

    ``sum over {rows, cols} of 1 - 2 <p, y> / (<p, p> + <y, y>)`` with ``p = sigmoid(max b)``. The
    paper states only "similarly defined with Dice Loss"; the squared denominators are SOLOv2's.

    Args:
        logits: ``(N, H, W)`` mask logits.
        rows: ``(N, H)`` bag labels of the rows, in [0, 1].
        cols: ``(N, W)`` bag labels of the columns, in [0, 1].
        eps: added to numerator and denominator, so that two empty vectors have loss 0.

    Returns:
        ``(N,)`` losses in [0, 2].
    """
    check_shapes(logits=(logits, "N H W"), rows=(rows, "N H"), cols=(cols, "N W"))
    row_logits, col_logits = bag_logits(logits.float())
    return _dice(row_logits, rows, eps) + _dice(col_logits, cols, eps)


def _dice(logits: Tensor, labels: Tensor, eps: float) -> Tensor:
    probs, labels = logits.sigmoid(), labels.float()
    overlap = (probs * labels).sum(-1)
    return 1 - (2 * overlap + eps) / (probs.square().sum(-1) + labels.square().sum(-1) + eps)


def mil_bce_loss(logits: Tensor, rows: Tensor, cols: Tensor) -> Tensor:
    """Compute the cross-entropy form of ``L_mil``, used for YOLACT++ (Sec. 3.1).

    ``-sum_i y_i log(max b_i) + (1 - y_i) log(1 - max b_i)``. Departure: the mean over bags instead
    of the sum, so that the scale does not depend on the image size.

    Args:
        logits: ``(N, H, W)`` mask logits.
        rows: ``(N, H)`` bag labels of the rows, in [0, 1].
        cols: ``(N, W)`` bag labels of the columns, in [0, 1].

    Returns:
        ``(N,)`` losses, at least 0.
    """
    check_shapes(logits=(logits, "N H W"), rows=(rows, "N H"), cols=(cols, "N W"))
    row_logits, col_logits = bag_logits(logits.float())
    row_loss = F.binary_cross_entropy_with_logits(row_logits, rows.float(), reduction="none")
    col_loss = F.binary_cross_entropy_with_logits(col_logits, cols.float(), reduction="none")
    return (row_loss.sum(-1) + col_loss.sum(-1)) / (rows.shape[-1] + cols.shape[-1])
