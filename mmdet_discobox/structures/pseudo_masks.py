"""What the structured teacher returns."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from mmdet_discobox.functional import check_shapes

from .correspondences import TaughtPairs


@dataclass(frozen=True)
class PseudoMasks:
    """Refined masks on a grid of S x S cells laid over each object's box and its surroundings.

    Attributes:
        masks: ``(G, S, S)`` marginals of the foreground in [0, 1].
        inside: ``(G, S, S)`` boolean, cells whose centre lies in the object's box.
        regions: ``(G, 4)`` the region that each grid covers, ``(x1, y1, x2, y2)`` in pixels.
        valid: ``(G,)`` boolean, objects whose mask may teach.
        roi_features: ``(G, C, s, s)`` of the objects; None without a cross-image term.
        pairs: the objects matched with those of the bank; None without a cross-image term.
    """

    masks: Tensor
    inside: Tensor
    regions: Tensor
    valid: Tensor
    roi_features: Tensor | None = None
    pairs: TaughtPairs | None = None

    def __post_init__(self) -> None:
        check_shapes(
            masks=(self.masks, "G S S"),
            inside=(self.inside, "G S S"),
            regions=(self.regions, "G 4"),
            valid=(self.valid, "G"),
        )
