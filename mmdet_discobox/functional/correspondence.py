"""Dense correspondence of two objects by iterated conditional modes (Sec. 3.2 and 3.3).

A square grid of S x S cells lies over the box of each object; its N = S * S cells are counted row
by row. The plan ``T`` between the cells of two objects maximises the similarity ``C_u + C_g``:
``C_u`` says that matched cells look alike, ``C_g`` that matches move alike. As ``C_g`` depends on
the plan, plan and votes are found in turn.

Units: ``C_u`` is a cosine in [-1, 1]. A plan sums to 1 and a vote weighs at most 1, so ``C_g`` is
in [0, 1]: the share of the plan that moves, up to about ``sqrt(gamma)`` cells, as this match does.
It is 1 if all cells move by the same offset. ``eps`` of the transport is in the same units.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .checks import check_shapes
from .precision import without_autocast
from .transport import marginal_residual, scale_to_marginals


class Plan(NamedTuple):
    """Dense correspondence of P pairs.

    Attributes:
        plan: ``(P, N, N)`` assignment ``T_ns`` of source to target cells; sums to 1 for each pair.
        votes: ``(P, N, N)`` geometric votes ``C_g`` of this plan, in [0, 1].
        residual: ``(P,)`` L1 distance of the plan's row sums from the source mass.
    """

    plan: Tensor
    votes: Tensor
    residual: Tensor


def cosine_similarity(source: Tensor, target: Tensor) -> Tensor:
    """The cost volume ``C_u`` of Sec. 3.2: cosines between all cells of two objects.

    Args:
        source: ``(P, C, S, S)`` features.
        target: ``(P, C, S, S)`` features.

    Returns:
        ``(P, N, N)`` in [-1, 1], in float32 for half precision, under autocast too. A zero feature
        is like nothing: 0.

    Raises:
        ValueError: if shapes disagree.
    """
    check_shapes(source=(source, "P C S S"), target=(target, "P C S S"))
    dtype = torch.promote_types(source.dtype, torch.float32)
    with without_autocast(source):
        source, target = (F.normalize(x.to(dtype).flatten(2), dim=1) for x in (source, target))
        # p: pair, c: channel, n: source cell, m: target cell
        return torch.einsum("pcn,pcm->pnm", source, target)


def geometric_votes(plan: Tensor, *, size: int, gamma: float) -> Tensor:
    """The geometric term ``C_g`` of Sec. 3.2.

        C_g(i, k) = sum_{j, l} exp(-|off_ik - off_jl|^2 / (2 gamma)) T(j, l)

    The summand depends on the offsets alone, of which there are ``(2 S - 1)^2``, not ``N^2``. So
    the plan is summed into a histogram of offsets, this is convolved with the Gaussian, one axis
    after the other, and each match reads its own bin. Exact, and deterministic (no scatter).

    Args:
        plan: ``(P, N, N)`` plans ``T``.
        size: S, cells along a side.
        gamma: squared width of the Gaussian, in cells^2.

    Returns:
        ``(P, N, N)`` votes, in [0, 1] if the plan sums to 1.

    Raises:
        ValueError: if the plan is not of S^2 by S^2 cells, or ``gamma`` is not positive.
    """
    check_shapes(plan=(plan, f"P {size**2} {size**2}"))
    if gamma <= 0:
        raise ValueError(f"Expected `gamma` > 0 but got {gamma}.")
    # With the target cells in reverse order, source + target is the offset: what `fold` sums by.
    histogram = F.fold(plan.flip(2), (2 * size - 1, 2 * size - 1), size)[:, 0]
    bins = torch.arange(2 * size - 1, device=plan.device, dtype=plan.dtype)
    gaussian = torch.exp(-((bins[:, None] - bins) ** 2) / (2 * gamma))
    smooth = gaussian @ histogram @ gaussian
    windows = smooth.unfold(1, size, 1).unfold(2, size, 1)  # (P, S, S, S, S)
    return windows.flip(3, 4).reshape(plan.shape)


def iterated_conditional_modes(
    similarity: Tensor,
    source_mass: Tensor,
    target_mass: Tensor,
    *,
    size: int,
    gamma: float,
    eps: float | Tensor = 0.15,
    iterations: int = 5,
    sinkhorn_iterations: int = 50,
) -> Plan:
    """Maximise appearance and geometry together, Sec. 3.3.

        C^0 = C_u;   T^t = H(C^t);   C^{t+1} = C_u + C_g(T^t)

    ``H`` does not see the scales of rows and columns, so ``T^t exp((C^{t+1} - C^t) / eps)`` has the
    same plan as ``exp(C^{t+1} / eps)``. It is nearly scaled already: each ``H`` goes on where the
    last one stopped, and a quarter of the iterations will do.

    On warped objects ``gamma = (0.2 S)^2`` measures best at all sizes S. A smaller ``eps`` or more
    ``iterations`` make the votes win over what was seen: the plan freezes into a single shift.

    Args:
        similarity: ``(P, N, N)`` cost volume ``C_u`` in [-1, 1].
        source_mass: ``(P, N)`` importance of the source cells, of any sum.
        target_mass: ``(P, N)`` importance of the target cells, of any sum.
        size: S, cells along a side.
        gamma: squared width of a vote, in cells^2.
        eps: strength of the entropy in the transport ``H``, in the units of ``similarity``; a
            number above 0, or ``(P,)`` of them.
        iterations: number of plans; 1 is plain transport of ``C_u``.
        sinkhorn_iterations: iterations within each ``H``.

    Returns:
        The last plan, with its own votes and its residual.

    Raises:
        ValueError: if shapes disagree or a number is out of range.
    """
    check_shapes(similarity=(similarity, f"P {size**2} {size**2}"))
    if isinstance(eps, Tensor):  # whose values are not looked at, which would wait for the device
        check_shapes(similarity=(similarity, "P N N"), eps=(eps, "P"))
        eps = eps[:, None, None]
    elif eps <= 0:
        raise ValueError(f"Expected `eps` > 0 but got {eps}.")
    if iterations < 1:
        raise ValueError(f"Expected `iterations` >= 1 but got {iterations}.")
    log_kernel = similarity.to(torch.promote_types(similarity.dtype, torch.float32)) / eps
    votes = torch.zeros_like(log_kernel)
    for _ in range(iterations):
        log_plan = scale_to_marginals(
            log_kernel, source_mass, target_mass, iterations=sinkhorn_iterations
        )
        plan, before = log_plan.exp(), votes
        votes = geometric_votes(plan, size=size, gamma=gamma)
        log_kernel = log_plan + (votes - before) / eps
    return Plan(plan, votes, marginal_residual(plan, source_mass, target_mass))
