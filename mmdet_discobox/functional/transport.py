"""Entropic optimal transport between the cells of two objects (Sec. 3.3, Appendix B, Alg. 2).

Alg. 2 finds the plan ``T = diag(a) K diag(b)``, ``K = exp(-C / eps)``, whose marginals are the
given masses, by normalising rows and columns alternately. Two departures:

* The masses of Appendix B (0.6 on background, 1 on foreground) have different sums for two
  objects, so no plan has both as its marginals. Both are normalised to sum 1.
* ``K`` underflows for small ``eps``, and ``a`` and ``b`` overflow, so the plan is stored as its
  logarithm. The first iteration runs in the log domain, the others in blocks of cheap scalings
  that are absorbed into the logarithm before they leave the range of float32 (Schmitzer 2019;
  here after a fixed number of iterations, which needs no synchronisation). Entries of the kernel
  are bounded below, so iterates differ from Alg. 2's for sharp kernels: up to 100 eps between the
  smallest and the largest cost, by less than 1e-3 in L1; above, before convergence, by less than
  the residual. The limit is the same.

Alg. 2 minimises a *cost*: pass ``-C`` for the similarity ``C = C_u + C_g`` of Sec. 3.2.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .checks import check_shapes

#: iterations between two absorptions; `_TINY` keeps any number of them in the range of float32
_BLOCK = 20
#: lower bound of kernel entries: negligible, but its reciprocal is far from the float32 limit
_TINY = 1e-16
#: log-kernel of masked cells: below any ``-cost / eps`` in use, and finite, unlike -inf, of which
#: a whole column would have no softmax
_MASKED = -1e4


def step_mass(
    masks: Tensor, *, low: float = 0.6, high: float = 1.0, threshold: float = 0.5
) -> Tensor:
    """Assign each cell its mass, ``phi^o`` of Appendix B.

    Args:
        masks: ``(...)`` foreground probabilities in [0, 1].
        low: mass of a background cell.
        high: mass of a foreground cell.
        threshold: cells with a larger probability are foreground.

    Returns:
        ``(...)`` masses, ``low`` or ``high``.
    """
    return torch.full_like(masks, low).masked_fill(masks > threshold, high)


def sinkhorn(
    cost: Tensor,
    source_mass: Tensor,
    target_mass: Tensor,
    *,
    eps: float,
    iterations: int,
    tolerance: float | None = None,
) -> tuple[Tensor, Tensor]:
    """Compute the transport plans of a batch of pairs (Alg. 2).

    Half precision inputs are computed in float32. Differentiable if all masses are positive.

    Args:
        cost: ``(P, N, M)`` finite costs of moving source cell n to target cell m.
        source_mass: ``(P, N)`` non-negative, of any sum.
        target_mass: ``(P, M)`` non-negative, of any sum.
        eps: entropic regularisation, in units of ``cost``. A smaller value gives a sharper plan
            and needs more iterations.
        iterations: ``t_max``; each scales the rows and then the columns.
        tolerance: stop when the residual of every pair is at most this value. The check runs every
            20 iterations and synchronises; None disables it.

    Returns:
        The plans ``(P, N, M)``, each of sum 1, and their residuals ``(P,)``, see
        :func:`marginal_residual`.

    Raises:
        ValueError: if shapes disagree, ``eps`` is not positive, or ``iterations`` is below 1.
    """
    if eps <= 0:
        raise ValueError(f"Expected `eps` > 0 but got {eps}.")
    log_kernel = -cost.to(torch.promote_types(cost.dtype, torch.float32)) / eps
    log_plan = scale_to_marginals(
        log_kernel, source_mass, target_mass, iterations=iterations, tolerance=tolerance
    )
    plan = log_plan.exp()
    return plan, marginal_residual(plan, source_mass, target_mass)


def scale_to_marginals(
    log_kernel: Tensor,
    source_mass: Tensor,
    target_mass: Tensor,
    *,
    iterations: int,
    tolerance: float | None = None,
) -> Tensor:
    """Scale rows and columns of a positive matrix to given sums, the loop of Alg. 2.

    Cells of zero mass receive nothing and do not affect the others. If all masses of an object are
    zero, they are replaced by uniform ones.

    Args:
        log_kernel: ``(P, N, M)`` logarithm of ``K``, in float32 or float64.
        source_mass: ``(P, N)`` non-negative, of any sum.
        target_mass: ``(P, M)`` non-negative, of any sum.
        iterations: see :func:`sinkhorn`.
        tolerance: see :func:`sinkhorn`.

    Returns:
        ``(P, N, M)`` logarithm of the plan; -inf at cells of zero mass.

    Raises:
        ValueError: if shapes disagree or ``iterations`` is below 1.
    """
    check_shapes(
        log_kernel=(log_kernel, "P N M"),
        source_mass=(source_mass, "P N"),
        target_mass=(target_mass, "P M"),
    )
    if iterations < 1:
        raise ValueError(f"Expected `iterations` >= 1 but got {iterations}.")
    source, target = (_normalise(x, log_kernel.dtype) for x in (source_mass, target_mass))
    log_plan = _first_iteration(log_kernel, source, target)
    for done in range(1, iterations, _BLOCK):
        plan = log_plan.exp()
        if tolerance is not None and _has_converged(plan, source, target, tolerance):
            break
        a, b = _scalings(plan, source, target, min(_BLOCK, iterations - done))
        log_plan = log_plan + a.log()[:, :, None] + b.log()[:, None]
    return log_plan


def marginal_residual(plan: Tensor, source_mass: Tensor, target_mass: Tensor) -> Tensor:
    """Measure the distance of plans from their marginals.

    Args:
        plan: ``(P, N, M)`` plans.
        source_mass: ``(P, N)`` non-negative, of any sum.
        target_mass: ``(P, M)`` non-negative, of any sum.

    Returns:
        ``(P,)`` the larger of two L1 distances: row sums to the normalised source mass, and column
        sums to the normalised target mass. In [0, 2] for plans of sum 1. Columns are scaled last,
        so their distance is only rounding error.
    """
    source, target = (_normalise(x, plan.dtype) for x in (source_mass, target_mass))
    rows, columns = (plan.sum(2) - source).abs().sum(1), (plan.sum(1) - target).abs().sum(1)
    return torch.maximum(rows, columns)


def _normalise(mass: Tensor, dtype: torch.dtype) -> Tensor:
    mass = mass.to(dtype)
    total = mass.sum(-1, keepdim=True)
    return torch.where(total > 0, mass / total.clamp_min(_TINY), 1 / mass.shape[-1])


def _first_iteration(log_kernel: Tensor, source: Tensor, target: Tensor) -> Tensor:
    """Run the first iteration of Alg. 2 in the log domain, where normalising is a log-softmax."""
    # Mask target cells of zero mass before normalising rows.
    log_mask = torch.where(target > 0, 0, _MASKED)
    log_kernel = (log_kernel + log_mask[:, None]).clamp_min(_MASKED)
    log_plan = log_kernel.log_softmax(2) + source.log()[:, :, None]
    return log_plan.log_softmax(1) + target.log()[:, None]


def _scalings(
    plan: Tensor, source: Tensor, target: Tensor, iterations: int
) -> tuple[Tensor, Tensor]:
    """Compute the vectors a and b of Alg. 2 for K = plan, starting from b = 1.

    Vectors are rows: row times matrix is several times faster than matrix times column.
    """
    kernel = plan + _TINY  # prevents underflow of sums and overflow of scalings
    b = torch.ones_like(target)
    for _ in range(iterations):
        a = source / (b[:, None] @ kernel.mT)[:, 0]
        b = target / (a[:, None] @ kernel)[:, 0]
    return a, b


def _has_converged(plan: Tensor, source: Tensor, target: Tensor, tolerance: float) -> bool:
    return bool((marginal_residual(plan, source, target) <= tolerance).all())
