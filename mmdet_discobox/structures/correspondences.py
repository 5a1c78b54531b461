"""Dense correspondences between objects of a class, found by the structured teacher."""

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
        plan: ``(P, N, N)`` assignment ``T_ns`` of source to target cells; sums to 1 per pair.
        similarity: ``(P, N, N)`` volume ``C_u + C_g`` of that assignment.
    """

    plan: Tensor
    similarity: Tensor

    def __post_init__(self) -> None:
        check_shapes(plan=(self.plan, "P N N"), similarity=(self.similarity, "P N N"))

    def __len__(self) -> int:
        return len(self.plan)

    @classmethod
    def cat(cls, parts: Sequence[Correspondences]) -> Correspondences:
        """Concatenate the pairs of one or more records."""
        return cls(
            plan=torch.cat([part.plan for part in parts]),
            similarity=torch.cat([part.similarity for part in parts]),
        )


@dataclass(frozen=True)
class ContrastivePairs:
    """Pairs of batch objects (sources) and bank objects (targets), for ``L_nce``.

    Attributes:
        correspondences: of the P pairs.
        rows: ``(G, R)`` rows of the targets in the bank, R for each of the G sources; P = G * R.
        source_masks: ``(P, S, S)`` refined masks of the sources.
        valid: ``(P,)`` boolean, pairs that exist and whose source has a valid pseudo-label.
    """

    correspondences: Correspondences
    rows: Tensor
    source_masks: Tensor
    valid: Tensor
