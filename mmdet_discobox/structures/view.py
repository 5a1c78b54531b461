"""The result of one network's forward pass on a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from .mask_proposals import MaskProposals


@dataclass(frozen=True)
class View:
    """Everything that one task network, the student or the teacher network, computed from a batch.

    Backbone, neck and heads ran once for it; later stages read it and run nothing again.

    Attributes:
        features: outputs of the neck, ``(B, C, h, w)`` each.
        outputs: raw outputs of the heads, which only the network itself reads.
        positives: the assignment of places (cells, anchors, priors) to objects; places are common
            to the student and the teacher network, so both can share it.
        proposals: mask logits of the objects.
    """

    features: Sequence[Tensor]
    outputs: Any
    positives: Any
    proposals: MaskProposals
