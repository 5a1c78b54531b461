"""Matchers of the cells of two objects by name, the methods of Tables 4 and 5."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mmdet_discobox.functional import cosine_similarity, geometric_votes, sinkhorn
from mmdet_discobox.models.teachers import CorrespondenceSolver

#: computes non-negative plans ``(P, N, N)`` from source and target features ``(P, C, S, S)``, and
#: source and target masks ``(P, S, S)``
Matcher = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]

#: names of the matchers, see :func:`build_matcher`
MATCHERS = ("identity", "nearest", "transport", "icm", "scot")

#: mass of a cell by its foreground probability; SCOT uses a class activation map instead
_SCOT_MASSES = {0.0: 0.5, 0.4: 0.8, 0.5: 0.9, 0.6: 1.0}
#: standard deviation of SCOT's 7 x 7 Gaussian (a quarter of its side) in a space of offsets of
#: twice the object's side and 8192 bins, as a share of the object's side
_SCOT_SIGMA = 7 / 4 * 2 / 8192**0.5


def identity(source: Tensor, target: Tensor, source_masks: Tensor, target_masks: Tensor) -> Tensor:
    """Match each cell with the cell at the same place in the other box."""
    cells = source.shape[-1] ** 2
    return torch.eye(cells, device=source.device).expand(len(source), cells, cells)


def nearest(source: Tensor, target: Tensor, source_masks: Tensor, target_masks: Tensor) -> Tensor:
    """Match each cell with the most similar one, independently of the other cells."""
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
    """Match by the iterated conditional modes of the structured teacher (Sec. 3.3).

    The plan assigns each target cell to source cells, including source cells without a counterpart
    in the target. The product of similarity and geometric votes of the plan suppresses the latter
    and measures better on photographs, with votes of half the width.

    Args:
        source: ``(P, C, S, S)`` features.
        target: ``(P, C, S, S)`` features.
        source_masks: ``(P, S, S)`` probabilities of the foreground.
        target_masks: ``(P, S, S)`` probabilities of the foreground.
        reading: ``'votes'`` for that product, ``'plan'`` for the plan, as in the paper.
        **settings: arguments of :class:`CorrespondenceSolver`.

    Returns:
        ``(P, N, N)`` scores, at least 0.

    Raises:
        ValueError: for another ``reading``.
    """
    if reading not in ("votes", "plan"):
        raise ValueError(f"Expected `reading` to be 'votes' or 'plan' but got {reading!r}.")
    solver = CorrespondenceSolver(**settings)
    appearance = cosine_similarity(source, target)
    plan = solver(appearance, source_masks, target_masks).plan
    if reading == "plan":
        return plan
    size = source.shape[-1]
    best = appearance.amax(2, keepdim=True)  # the scale of a row has no effect
    likelihood = ((appearance - best) / solver.strength(appearance)[:, None, None]).exp()
    return likelihood * geometric_votes(plan, size=size, gamma=solver.gamma / 4 * size**2)


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
    """Match by SCOT (Liu et al., CVPR 2020) without beam search: the SCOT of Table 5.

    Optimal transport is followed by regularised Hough voting: each match is weighted by the votes
    of all matches for its offset. On a grid, the votes are sums over offsets, as in Sec. 3.2.

    Args:
        source: ``(P, C, S, S)`` features.
        target: ``(P, C, S, S)`` features.
        source_masks: ``(P, S, S)`` probabilities of the foreground.
        target_masks: ``(P, S, S)`` probabilities of the foreground.
        eps: strength of the entropy, in units of the cosine.
        iterations: iterations of Alg. 2; one, as released.
        power: exponent of the plan; 0.5 on PF-PASCAL, 1 on SPair-71k.

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
    """Build a matcher.

    Args:
        name: ``'identity'``; ``'nearest'`` neighbour; ``'transport'``, Alg. 2 on the appearance
            alone; ``'icm'``, that of the structured teacher; or ``'scot'``.
        **settings: keyword arguments of :class:`CorrespondenceSolver` for ``'transport'``, of
            :func:`icm` or of :func:`scot`.

    Raises:
        ValueError: for another name.
    """
    if name not in MATCHERS:
        raise ValueError(f"Expected a matcher of {', '.join(MATCHERS)} but got {name!r}.")
    if name == "transport":
        settings = {**settings, "iterations": 1, "reading": "plan"}
    functions = dict(identity=identity, nearest=nearest, transport=icm, icm=icm, scot=scot)
    matcher: Matcher = partial(functions[name], **settings)
    return matcher
