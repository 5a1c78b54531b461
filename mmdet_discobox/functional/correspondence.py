"""Dense correspondence of two objects by iterated conditional modes (Sec. 3.2 and 3.3).

A grid of S x S cells covers the box of each object; its N = S * S cells are in row-major order.
The plan ``T`` between the cells of two objects maximises the similarity ``C_u + C_g``: ``C_u``
compares the appearance of matched cells, ``C_g`` the offsets of all matches. ``C_g`` depends on the
plan, so the two are updated alternately.

Units: ``C_u`` is a cosine in [-1, 1]. ``C_g`` is in [0, 1]: the fraction of the plan whose offset
equals that of a match, up to about ``sqrt(gamma)`` cells. It is 1 if all cells move by the same
offset. ``eps`` of the transport is in the same units.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .checks import check_shapes
from .numerics import without_autocast
from .transport import scale_to_marginals


def cosine_similarity(source: Tensor, target: Tensor) -> Tensor:
    """Compute ``C_u`` of Sec. 3.2, the cosines between all cells of two objects.

    Args:
        source: ``(P, C, S, S)`` features.
        target: ``(P, C, S, S)`` features.

    Returns:
        ``(P, N, N)`` in [-1, 1]; float32 for half precision, also under autocast. The similarity
        of a zero feature is 0.

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
    """Compute the geometric term ``C_g`` of Sec. 3.2.

        C_g(i, k) = sum_{j, l} exp(-|off_ik - off_jl|^2 / (2 gamma)) T(j, l)

    The summand depends only on the offsets, of which there are ``(2 S - 1)^2`` instead of ``N^2``.
    The plan is summed into a histogram of offsets, the histogram is smoothed with a separable
    Gaussian, and each match reads its own bin. Exact and deterministic (no scatter).

    Args:
        plan: ``(P, N, N)`` plans ``T``.
        size: S, cells per side.
        gamma: variance of the Gaussian, in cells^2.

    Returns:
        ``(P, N, N)`` votes, in [0, 1] if the plan sums to 1.

    Raises:
        ValueError: if the plan is not ``(P, S^2, S^2)``, or ``gamma`` is not positive.
    """
    check_shapes(plan=(plan, f"P {size**2} {size**2}"))
    if gamma <= 0:
        raise ValueError(f"Expected `gamma` > 0 but got {gamma}.")
    # `fold` sums by source + target index; with the target reversed, that is the offset.
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
) -> tuple[Tensor, Tensor]:
    """Maximise appearance and geometry jointly (Sec. 3.3).

        C^0 = C_u;   T^t = H(C^t);   C^{t+1} = C_u + C_g(T^t)

    ``H`` is invariant to the scales of rows and columns, so ``T^t exp((C^{t+1} - C^t) / eps)`` has
    the same plan as ``exp(C^{t+1} / eps)``. This warm start needs a quarter of the iterations.

    With a smaller ``eps`` or more ``iterations`` the votes dominate, and the plan collapses to a
    single shift. :class:`.CorrespondenceSolver` has the settings measured on photographs.

    Args:
        similarity: ``(P, N, N)`` cost volume ``C_u`` in [-1, 1].
        source_mass: ``(P, N)`` masses of the source cells, of any sum.
        target_mass: ``(P, N)`` masses of the target cells, of any sum.
        size: S, cells per side.
        gamma: variance of the votes' Gaussian, in cells^2.
        eps: entropic regularisation of the transport ``H``, in units of ``similarity``; a number
            above 0, or ``(P,)`` per pair.
        iterations: number of plans; 1 is plain transport of ``C_u``.
        sinkhorn_iterations: Sinkhorn iterations of each ``H``.

    Returns:
        The last plan ``T``, ``(P, N, N)`` and of sum 1 per pair, and its votes ``C_g(T)``,
        ``(P, N, N)`` in [0, 1].

    Raises:
        ValueError: if shapes disagree or a number is out of range.
    """
    check_shapes(similarity=(similarity, f"P {size**2} {size**2}"))
    if isinstance(eps, Tensor):  # values are not checked: that would synchronise
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
        plan, previous_votes = log_plan.exp(), votes
        votes = geometric_votes(plan, size=size, gamma=gamma)
        log_kernel = log_plan + (votes - previous_votes) / eps
    return plan, votes
