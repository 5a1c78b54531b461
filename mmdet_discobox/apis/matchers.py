"""Ways to match the cells of two objects, by name: what Tables 4 and 5 compare."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mmdet_discobox.functional import cosine_similarity
from mmdet_discobox.models.teachers import CorrespondenceSolver

#: ``(source features, target features, source masks, target masks) -> plans``: ``(P, C, S, S)``
#: twice and ``(P, S, S)`` twice to ``(P, N, N)``, rows that are at least 0
Matcher = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def identity(source: Tensor, target: Tensor, source_masks: Tensor, target_masks: Tensor) -> Tensor:
    """Match each cell with the one at its own place in the other box."""
    cells = source.shape[-1] ** 2
    return torch.eye(cells, device=source.device).expand(len(source), cells, cells)


def nearest(source: Tensor, target: Tensor, source_masks: Tensor, target_masks: Tensor) -> Tensor:
    """Match each cell with the most similar one, whatever the others do."""
    similarity = cosine_similarity(source, target)
    return F.one_hot(similarity.argmax(2), similarity.shape[2]).to(similarity)


def build_matcher(name: str, **settings: Any) -> Matcher:
    """Return a way to match.

    Args:
        name: ``'identity'``; ``'nearest'`` neighbour; ``'transport'``, Alg. 2 on the appearance
            alone; ``'icm'``, the structured teacher's (Sec. 3.3).
        **settings: of :class:`CorrespondenceSolver`, for the last two.

    Raises:
        ValueError: for another name.
    """
    if name in ("transport", "icm"):
        one = dict(iterations=1) if name == "transport" else {}
        solver = CorrespondenceSolver(**{**settings, **one})
        return lambda *objects: solver(*objects).plan
    simple: dict[str, Matcher] = dict(identity=identity, nearest=nearest)
    if name not in simple:
        raise ValueError(
            f"Expected a matcher of 'identity', 'nearest', 'transport', 'icm' but got {name!r}."
        )
    return simple[name]
