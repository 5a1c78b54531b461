"""Ways to match the cells of two objects, by name: what Tables 4 and 5 compare."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mmdet_discobox.functional import cosine_similarity, geometric_votes, sinkhorn
from mmdet_discobox.models.teachers import CorrespondenceSolver

#: ``(source features, target features, source masks, target masks) -> plans``: ``(P, C, S, S)``
#: twice and ``(P, S, S)`` twice to ``(P, N, N)``, rows that are at least 0
Matcher = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]

#: what :func:`build_matcher` knows
MATCHERS = ("identity", "nearest", "transport", "icm", "scot")

#: mass of a cell by its foreground probability, in SCOT that of a class activation map
_SCOT_MASSES = {0.0: 0.5, 0.4: 0.8, 0.5: 0.9, 0.6: 1.0}
#: standard deviation of SCOT's 7 x 7 Gaussian, a quarter of its side, over a space of offsets that
#: is twice as wide as the object and has 8192 bins; in shares of the object's side
_SCOT_SIGMA = 7 / 4 * 2 / 8192**0.5


def identity(source: Tensor, target: Tensor, source_masks: Tensor, target_masks: Tensor) -> Tensor:
    """Match each cell with the one at its own place in the other box."""
    cells = source.shape[-1] ** 2
    return torch.eye(cells, device=source.device).expand(len(source), cells, cells)


def nearest(source: Tensor, target: Tensor, source_masks: Tensor, target_masks: Tensor) -> Tensor:
    """Match each cell with the most similar one, whatever the others do."""
    similarity = cosine_similarity(source, target)
    return F.one_hot(similarity.argmax(2), similarity.shape[2]).to(similarity)


def icm(
    source: Tensor,
    target: Tensor,
    source_masks: Tensor,
    target_masks: Tensor,
    *,
    reading: str = "votes",
    **settings: Any,
) -> Tensor:
    """Match as the structured teacher does (Sec. 3.3).

    The plan shares each target cell among the source cells, also those that belong to nothing in
    the target. Reading the matches from what they look like times the votes of the plan for their
    offsets leaves that out, and measures better on photographs; so do votes of half the width.

    Args:
        source: ``(P, C, S, S)`` features.
        target: ``(P, C, S, S)`` features.
        source_masks: ``(P, S, S)`` probabilities of the foreground.
        target_masks: ``(P, S, S)`` probabilities of the foreground.
        reading: ``'votes'``, or ``'plan'`` for the plan itself, as the paper has it.
        **settings: of :class:`CorrespondenceSolver`.

    Returns:
        ``(P, N, N)`` scores, at least 0.

    Raises:
        ValueError: if ``reading`` is neither.
    """
    if reading not in ("votes", "plan"):
        raise ValueError(f"Expected `reading` to be 'votes' or 'plan' but got {reading!r}.")
    solver = CorrespondenceSolver(**settings)
    appearance = cosine_similarity(source, target)
    plan = solver(appearance, source_masks, target_masks).plan
    if reading == "plan":
        return plan
    size = source.shape[-1]
    best = appearance.amax(2, keepdim=True)  # the scale of a row means nothing
    looks = ((appearance - best) / solver.scaled_eps(appearance)[:, None, None]).exp()
    return looks * geometric_votes(plan, size=size, gamma=solver.gamma / 4 * size**2)


def scot(
    source: Tensor,
    target: Tensor,
    source_masks: Tensor,
    target_masks: Tensor,
    *,
    eps: float = 0.05,
    iterations: int = 1,
    power: float = 0.5,
) -> Tensor:
    """Match as SCOT does (Liu et al., CVPR 2020), without its beam search: the SCOT of Table 5.

    Optimal transport, then regularised Hough voting: each match is weighted by the votes of all
    for its offset. On a grid, the votes are sums over offsets, as those of Sec. 3.2 are.

    Args:
        source: ``(P, C, S, S)`` features.
        target: ``(P, C, S, S)`` features.
        source_masks: ``(P, S, S)`` probabilities of the foreground.
        target_masks: ``(P, S, S)`` probabilities of the foreground.
        eps: strength of the entropy, in units of the cosine.
        iterations: of Alg. 2; one, as released.
        power: that the plan is raised to; 0.5 on PF-PASCAL, 1 on SPair-71k.

    Returns:
        ``(P, N, N)`` scores, at least 0.
    """
    size = source.shape[-1]
    cost = 1 - cosine_similarity(source, target).clamp_min(0)
    masses = (_scot_mass(masks.flatten(1)) for masks in (source_masks, target_masks))
    plan, _ = sinkhorn(cost, *masses, eps=eps, iterations=iterations)
    scores = (plan * size**2) ** power
    return scores * geometric_votes(scores, size=size, gamma=(_SCOT_SIGMA * size) ** 2)


def _scot_mass(masks: Tensor) -> Tensor:
    bounds, masses = (masks.new_tensor([*x]) for x in (_SCOT_MASSES, _SCOT_MASSES.values()))
    return masses[torch.bucketize(masks, bounds[1:])]


def build_matcher(name: str, **settings: Any) -> Matcher:
    """Return a way to match.

    Args:
        name: ``'identity'``; ``'nearest'`` neighbour; ``'transport'``, Alg. 2 on the appearance
            alone; ``'icm'``, the structured teacher's; or ``'scot'``.
        **settings: keyword arguments: of :class:`CorrespondenceSolver` for ``'transport'``, of
            :func:`icm` and :func:`scot` for these.

    Raises:
        ValueError: for another name.
    """
    if name not in MATCHERS:
        raise ValueError(f"Expected a matcher of {', '.join(MATCHERS)} but got {name!r}.")
    if name == "transport":
        settings = {**settings, "iterations": 1, "reading": "plan"}
    ways = dict(identity=identity, nearest=nearest, transport=icm, icm=icm, scot=scot)
    way: Matcher = partial(ways[name], **settings)
    return way
