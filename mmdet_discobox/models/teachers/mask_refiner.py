"""Masks given correspondence: the half of the energy that is minimised in ``x`` (Sec. 3.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from mmdet_discobox.functional import (
    appearance_evidence,
    colour_affinity,
    colour_kernel,
    mean_field,
    mean_field_alg1,
    neighbour_offsets,
    raise_empty_bags,
    rgb_to_lab,
    suppress_full_masks,
)

#: log-odds of a cell that is known to be background
_BACKGROUND = -10.0


@dataclass(frozen=True)
class MaskField:
    """What the mean field of G objects runs on, all on grids of S x S cells.

    Attributes:
        coarse: ``(G, S, S)`` mask logits of the network.
        affinity: ``(K, G, S, S)`` pairwise kernel.
        kernel: ``(G, S^2 / 16, S^2 / 4)`` kernel of the appearance model; None without one.
        inside: ``(G, S, S)`` boolean, cells in the object's box; the others are background.
        visible: ``(G, S, S)`` boolean, cells in the image; the others have no colour.
    """

    coarse: Tensor
    affinity: Tensor
    kernel: Tensor | None
    inside: Tensor
    visible: Tensor


class MaskRefiner:
    """Mean field over colours with the settings of one config.

    The defaults are what measures best on photographs; ``docs/results.md`` has the figures.

    Args:
        algorithm: ``'soft'`` for :func:`mean_field`, ``'alg1'`` for the paper's Alg. 1 as printed.
        colour_space: of the pairwise term; the paper compares ``'rgb'``.
        w1: weight of the pairwise term (Sec. 3.2; no value given there).
        zeta: colour bandwidth, in units of the colour space (Sec. 3.2; no value given there).
        dilations: distances of the neighbours in cells; the paper has 8 immediate ones, ``(1,)``.
        iterations: mean-field updates in all; the paper says "until convergence". With an
            appearance model a third of them comes before it learns from the masks anew.
        unary_scale: factor on the log-odds of the predicted probability (``'soft'`` only).
        prior: log-odds of the foreground that every cell of the box has to begin with (``'soft'``
            only; departure: the paper has none). It makes up for the cells around the box, which
            vote for the background and have no counterpart.
        unary_limit: bound of the absolute log-odds of unary and appearance (``'soft'`` only), so
            that a confident network can be overruled.
        tightness: log-odds that each row and column of the box must reach before scaling
            (:func:`raise_empty_bags`, ``'soft'`` only); None trusts the network as it is.
        fullness: share of its box up to which a mask is believed (:func:`suppress_full_masks`,
            ``'soft'`` only); None believes full ones too, as the paper does.
        appearance: weight of :func:`appearance_evidence` (``'soft'`` only); 0 leaves it out, as
            the paper does.
        appearance_bandwidth: of its kernel, in units of the colour space.

    Raises:
        ValueError: for an unknown algorithm or colour space, or a scale that is not positive.
    """

    def __init__(
        self,
        *,
        algorithm: Literal["soft", "alg1"] = "soft",
        colour_space: Literal["lab", "rgb"] = "lab",
        w1: float = 0.3,
        zeta: float = 3.5,
        dilations: Sequence[int] = (1, 2, 4),
        iterations: int = 15,
        unary_scale: float = 0.25,
        unary_limit: float = 1.5,
        prior: float = 0.1,
        tightness: float | None = 0.5,
        fullness: float | None = 0.65,
        appearance: float = 0.35,
        appearance_bandwidth: float = 4.0,
    ) -> None:
        if algorithm not in ("soft", "alg1"):
            raise ValueError(f"Expected `algorithm` to be 'soft' or 'alg1' but got {algorithm!r}.")
        if colour_space not in ("lab", "rgb"):
            raise ValueError(
                f"Expected `colour_space` to be 'lab' or 'rgb' but got {colour_space!r}."
            )
        if unary_scale <= 0:
            raise ValueError(
                f"Expected `unary_scale` to be positive but got {unary_scale}. A small one lets "
                "colours decide alone."
            )
        self.algorithm = algorithm
        self.colour_space = colour_space
        self.w1 = w1
        self.zeta = zeta
        self.offsets = neighbour_offsets(dilations)
        self.iterations = iterations
        self.unary_scale = unary_scale
        self.unary_limit = unary_limit
        self.prior = prior
        self.tightness = tightness
        self.fullness = fullness
        self.appearance = appearance
        self.appearance_bandwidth = appearance_bandwidth

    def field(self, coarse: Tensor, colours: Tensor, inside: Tensor, visible: Tensor) -> MaskField:
        """Prepare what does not change while masks and correspondences do.

        Args:
            coarse: ``(G, S, S)`` mask logits.
            colours: ``(G, 3, S, S)`` RGB in [0, 255].
            inside: ``(G, S, S)`` boolean, cells in the object's box.
            visible: ``(G, S, S)`` boolean, cells in the image.
        """
        if self.colour_space == "lab":
            colours = rgb_to_lab(colours)
        affinity = colour_affinity(colours, self.offsets, w1=self.w1, zeta=self.zeta, valid=visible)
        kernel = None
        if self.appearance and self.algorithm == "soft":
            kernel = colour_kernel(colours, bandwidth=self.appearance_bandwidth)
        return MaskField(coarse, affinity, kernel, inside, visible)

    def __call__(self, field: MaskField, cross: Tensor | None = None) -> Tensor:
        """Infer the masks.

        Args:
            field: of G objects.
            cross: ``(G, S, S)`` log-odds of the cross-image term (``tau_c``).

        Returns:
            ``(G, S, S)`` marginals of the foreground in [0, 1], 0 outside the box.
        """
        run = self._alg1 if self.algorithm == "alg1" else self._soft
        return run(field, cross).sigmoid() * field.inside

    def _alg1(self, field: MaskField, cross: Tensor | None) -> Tensor:
        return mean_field_alg1(
            field.coarse.sigmoid() * field.inside, field.affinity, self.offsets,
            iterations=self.iterations, cross=cross, fixed=~field.inside,
        )  # fmt: skip

    def _soft(self, field: MaskField, cross: Tensor | None) -> Tensor:
        sure = self.unary_limit / self.unary_scale
        coarse = field.coarse.clamp(-sure, sure)
        if self.fullness is not None:
            coarse = suppress_full_masks(coarse, field.inside, above=self.fullness)
        if self.tightness is not None:
            coarse = raise_empty_bags(coarse, field.inside, floor=self.tightness)
        unary = (self.unary_scale * coarse).clamp(-self.unary_limit, self.unary_limit)
        unary = torch.where(field.inside, unary + self.prior, _BACKGROUND)
        if field.kernel is None:
            return self._mean_field(field, unary, cross, self.iterations)
        logits, first = unary, self.iterations // 3
        for iterations in (first, self.iterations - first):
            evidence = appearance_evidence(
                field.kernel, logits.sigmoid() * field.inside, field.visible
            )
            limit = self.unary_limit
            prior = unary + (self.appearance * evidence).clamp(-limit, limit)
            logits = self._mean_field(field, prior, cross, iterations)
        return logits

    def _mean_field(
        self, field: MaskField, unary: Tensor, cross: Tensor | None, iterations: int
    ) -> Tensor:
        return mean_field(
            unary, field.affinity, self.offsets,
            iterations=iterations, cross=cross, fixed=~field.inside,
        )  # fmt: skip
