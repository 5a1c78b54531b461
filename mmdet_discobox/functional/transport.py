"""Entropic optimal transport between the cells of two objects (Sec. 3.3, Appendix B, Alg. 2).

Alg. 2 finds the plan ``T = diag(a) K diag(b)``, ``K = exp(-C / eps)``, whose marginals are the
given masses, by dividing in turn by the sums of the rows and of the columns. The iterates here are
its iterates, with two departures:

* The masses of Appendix B (0.6 on background, 1 on foreground) have different sums for two
  objects, and then no plan has both as its marginals. Both are normalised to sum 1.
* ``K`` underflows for small ``eps``, and ``a`` and ``b`` overflow. So the plan is held as its
  logarithm. The first iteration is done on the logarithm, the others in blocks of cheap scalings,
  which are absorbed into the logarithm before they leave the range of float32 (Schmitzer 2019;
  here after a fixed number, so that nothing waits for the device).

Alg. 2 minimises a *cost*: pass ``-C`` for the similarity ``C = C_u + C_g`` of Sec. 3.2.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .checks import check_shapes

#: scalings between two absorptions; as no entry is below `_TINY`, they stay in range however many
_BLOCK = 20
#: far below an entry that matters, and far above the reciprocal of what float32 holds
_TINY = 1e-16
#: below any ``-cost / eps`` in use, and finite: a column of infinities has no softmax
_BARRED = -1e4


def step_mass(
    masks: Tensor, *, low: float = 0.6, high: float = 1.0, threshold: float = 0.5
) -> Tensor:
    """The importance of a cell, ``phi^o`` of Appendix B.

    Args:
        masks: ``(...)`` foreground probabilities in [0, 1].
        low: mass of a background cell.
        high: mass of a foreground cell.
        threshold: a cell is foreground if its probability is larger.

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
    """Transport plans of a batch of pairs, Alg. 2.

    Half precision is computed in float32. Differentiable where all masses are positive.

    Args:
        cost: ``(P, N, M)`` finite costs of moving source cell n to target cell m.
        source_mass: ``(P, N)`` non-negative, of any sum.
        target_mass: ``(P, M)`` non-negative, of any sum.
        eps: strength of the entropy, in the units of ``cost``. The smaller, the sharper the plan,
            and the more iterations it takes.
        iterations: ``t_max``; each scales the rows and then the columns.
        tolerance: stop when the residual of every pair is at most this. It is looked at every 20
            iterations, each time waiting for the device once; ``None`` never waits.

    Returns:
        The plans ``(P, N, M)``, each of sum 1, and their residuals ``(P,)``, see
        :func:`marginal_residual`.

    Raises:
        ValueError: if shapes disagree, ``eps`` is not positive, or there is no iteration.
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
    """The loop of Alg. 2: scale rows and columns of a positive matrix to given sums.

    A cell without mass gets nothing and does not disturb the others; an object without any mass
    counts as uniform.

    Args:
        log_kernel: ``(P, N, M)`` logarithm of ``K``, in float32 or float64.
        source_mass: ``(P, N)`` non-negative, of any sum.
        target_mass: ``(P, M)`` non-negative, of any sum.
        iterations: as of :func:`sinkhorn`.
        tolerance: as of :func:`sinkhorn`.

    Returns:
        ``(P, N, M)`` logarithm of the plan; -inf where a cell has no mass.

    Raises:
        ValueError: if shapes disagree or there is no iteration.
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
    """How far plans are from their marginals.

    Args:
        plan: ``(P, N, M)`` plans.
        source_mass: ``(P, N)`` non-negative, of any sum.
        target_mass: ``(P, M)`` non-negative, of any sum.

    Returns:
        ``(P,)`` L1 distance of the row sums from the normalised source mass, or of the column sums
        from the target's if that is larger; in [0, 2] for plans of sum 1. Columns are scaled last,
        so theirs is rounding.
    """
    source, target = (_normalise(x, plan.dtype) for x in (source_mass, target_mass))
    rows, columns = (plan.sum(2) - source).abs().sum(1), (plan.sum(1) - target).abs().sum(1)
    return torch.maximum(rows, columns)


def _normalise(mass: Tensor, dtype: torch.dtype) -> Tensor:
    mass = mass.to(dtype)
    total = mass.sum(-1, keepdim=True)
    return torch.where(total > 0, mass / total.clamp_min(_TINY), 1 / mass.shape[-1])


def _first_iteration(log_kernel: Tensor, source: Tensor, target: Tensor) -> Tensor:
    """Alg. 2 with t = 1 on the logarithm: dividing by a sum is a log-softmax."""
    # Rows must not strive for columns that take nothing.
    barred = torch.where(target > 0, 0, _BARRED)
    log_kernel = (log_kernel + barred[:, None]).clamp_min(_BARRED)
    log_plan = log_kernel.log_softmax(2) + source.log()[:, :, None]
    return log_plan.log_softmax(1) + target.log()[:, None]


def _scalings(
    plan: Tensor, source: Tensor, target: Tensor, iterations: int
) -> tuple[Tensor, Tensor]:
    """The vectors a and b of Alg. 2 for K = plan, from b = 1.

    A row vector times a matrix is several times faster than a matrix times a column vector.
    """
    kernel = plan + _TINY  # no sum underflows, and no scaling overflows
    b = torch.ones_like(target)
    for _ in range(iterations):
        a = source / (b[:, None] @ kernel.mT)[:, 0]
        b = target / (a[:, None] @ kernel)[:, 0]
    return a, b


def _has_converged(plan: Tensor, source: Tensor, target: Tensor, tolerance: float) -> bool:
    return bool((marginal_residual(plan, source, target) <= tolerance).all())
