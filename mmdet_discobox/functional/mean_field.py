"""Mean-field inference of the refined masks (Sec. 3.3, Appendix A, Alg. 1).

The labels are binary, so the marginal of a pixel is its log-odds ``l = log q(1) / q(0)``. Two
inference algorithms minimise the Potts energy of Sec. 3.2

    E(x) = sum_i psi(x_i) + sum_{i, j in N(i)} k(i, j) [x_i != x_j]

* :func:`mean_field`, the standard one: the message of the neighbours in log-odds is
  ``sum_j k(i, j) (2 q_j - 1)``, with ``2 q - 1 = tanh(l / 2)``. The unary is added in every
  iteration, and nothing is thresholded.
* :func:`mean_field_alg1`, Alg. 1 as printed: marginals are thresholded to {0.3, 0.7} after every
  iteration, messages are log-probabilities, and the unary is used only for initialisation.

The energy counts each pair twice, once from each pixel; ``k`` is the weight of one message, as in
Alg. 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .affinity import sum_messages
from .checks import check_shapes

_Offsets = Sequence[tuple[int, int]]


def mean_field(
    unary: Tensor,
    affinity: Tensor,
    offsets: _Offsets,
    *,
    iterations: int,
    cross: Tensor | None = None,
    fixed: Tensor | None = None,
) -> Tensor:
    """Infer marginals of the energy of Sec. 3.2 with soft messages.

    Departs from Alg. 1 in three places, all of which give better masks on photographs: the unary is
    the log-odds of the predicted probability instead of a threshold at 0.5, it is added in every
    iteration, and messages are expectations under the current marginals.

    Args:
        unary: ``(N, H, W)`` log-odds of the predicted masks.
        affinity: ``(K, N, H, W)`` pairwise kernel ``k(i, j)``.
        offsets: the K offsets of the neighbours.
        iterations: number of parallel updates.
        cross: ``(N, H, W)`` log-odds added by the cross-image term (Alg. 1, lines 11-15).
        fixed: ``(N, H, W)`` boolean, pixels fixed to their unary, for example known background.

    Returns:
        ``(N, H, W)`` log-odds of the marginals.
    """
    _check(unary, affinity, offsets, cross, fixed)
    prior = unary if cross is None else unary + cross
    logits = prior
    for _ in range(iterations):
        logits = prior + sum_messages(affinity, torch.tanh(logits / 2), offsets)
        if fixed is not None:
            logits = torch.where(fixed, unary, logits)
    return logits


def mean_field_alg1(
    probs: Tensor,
    affinity: Tensor,
    offsets: _Offsets,
    *,
    iterations: int,
    thresholds: tuple[float, float] = (0.3, 0.7),
    cross: Tensor | None = None,
    fixed: Tensor | None = None,
) -> Tensor:
    """Infer marginals by Alg. 1 as printed.

    With ``phi(q)`` in {0.3, 0.7} the log-odds take one of two values, and lines 6-19 are
    ``l <- phi(l + sum_j k(i, j) l_j)``; the unary of line 3 only initialises ``l``. Line 17 applies
    ``phi`` before line 18 normalises; with two labels the order does not matter, since
    ``phi(q) + phi(1 - q) = 1`` except at ties. Ties become background.

    Args:
        probs: ``(N, H, W)`` predicted mask probabilities in [0, 1].
        affinity: ``(K, N, H, W)`` pairwise kernel ``k(i, j)``.
        offsets: the K offsets of the neighbours.
        iterations: number of parallel updates; the paper iterates "until convergence".
        thresholds: the two values of ``phi``.
        cross: ``(N, H, W)`` log-odds added by the cross-image term (lines 11-15).
        fixed: ``(N, H, W)`` boolean, pixels fixed to their initial label.

    Returns:
        ``(N, H, W)`` log-odds, ``+-log(0.7 / 0.3)`` for the printed thresholds.
    """
    _check(probs, affinity, offsets, cross, fixed)
    low, high = (math.log(p / (1 - p)) for p in thresholds)
    initial = torch.where(probs > 0.5, high, low).to(affinity.dtype)
    logits = initial
    for _ in range(iterations):
        messages = sum_messages(affinity, logits, offsets)
        total = logits + messages if cross is None else logits + messages + cross
        logits = torch.where(total > 0, high, low).to(affinity.dtype)
        if fixed is not None:
            logits = torch.where(fixed, initial, logits)
    return logits


def _check(
    field: Tensor,
    affinity: Tensor,
    offsets: _Offsets,
    cross: Tensor | None,
    fixed: Tensor | None,
) -> None:
    shapes = {"field": (field, "N H W"), "affinity": (affinity, f"{len(offsets)} N H W")}
    if cross is not None:
        shapes["cross"] = (cross, "N H W")
    if fixed is not None:
        shapes["fixed"] = (fixed, "N H W")
    check_shapes(**shapes)
