"""What the structured teacher finds between objects of a class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmdet_discobox.functional import check_shapes


@dataclass(frozen=True)
class Correspondences:
    """Dense assignments of P pairs, on grids of S x S cells over the boxes; N = S * S.

    Attributes:
        plan: ``(P, N, N)`` assignment ``T_ns`` of source to target cells; sums to 1 for each pair.
        similarity: ``(P, N, N)`` volume ``C_u + C_g`` that it was found on.
        residual: ``(P,)`` L1 distance of the plan's marginals from the masses.
    """

    plan: Tensor
    similarity: Tensor
    residual: Tensor

    def __post_init__(self) -> None:
        check_shapes(
            plan=(self.plan, "P N N"),
            similarity=(self.similarity, "P N N"),
            residual=(self.residual, "P"),
        )

    def __len__(self) -> int:
        return len(self.plan)

    @classmethod
    def cat(cls, parts: Sequence[Correspondences]) -> Correspondences:
        """Join the pairs of several, at least one."""
        return cls(
            plan=torch.cat([part.plan for part in parts]),
            similarity=torch.cat([part.similarity for part in parts]),
            residual=torch.cat([part.residual for part in parts]),
        )


@dataclass(frozen=True)
class TaughtPairs:
    """Pairs of a batch's objects with objects of the bank, for ``L_nce``.

    Attributes:
        correspondences: of the P pairs.
        source_inds: ``(P,)`` the object of the batch in each pair.
        source_masks: ``(P, S, S)`` refined masks of the sources.
        target_features: ``(P, C, S, S)`` RoI features of the bank's objects.
        valid: ``(P,)`` boolean, pairs that exist and whose source may teach.
    """

    correspondences: Correspondences
    source_inds: Tensor
    source_masks: Tensor
    target_features: Tensor
    valid: Tensor
