"""Masks given correspondence: minimise the energy of Sec. 3.2 in ``x`` (Sec. 3.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from mmdet_discobox.functional import (
    appearance_evidence,
    check_ranges,
    colour_affinity,
    colour_kernel,
    mean_field,
    mean_field_alg1,
    neighbour_offsets,
    normalise_logits,
    raise_empty_bags,
    rgb_to_lab,
    suppress_full_masks,
)

#: log-odds of known background
_BACKGROUND_LOGIT = -10.0


@dataclass(frozen=True)
class MeanFieldInputs:
    """Inputs of the mean field of G objects, on grids of S x S cells.

    Attributes:
        coarse: ``(G, S, S)`` mask logits of the network.
        affinity: ``(K, G, S, S)`` pairwise kernel.
        kernel: ``(G, S^2 / 16, S^2 / 4)`` kernel of the appearance model; None without one.
        inside: ``(G, S, S)`` boolean, cells in the object's box; the others are background.
        visible: ``(G, S, S)`` boolean, cells in the image; the others have no colour.
        cut_sides: ``(G, 4)`` boolean, sides of the boxes cut by a crop; None: none.
    """

    coarse: Tensor
    affinity: Tensor
    kernel: Tensor | None
    inside: Tensor
    visible: Tensor
    cut_sides: Tensor | None = None


class MaskRefiner:
    """Refine masks by mean-field inference over colours.

    The defaults are the settings with the best masks on photographs, see ``docs/results.md``; the
    paper's are named where it gives any. Settings marked (soft) are not used by ``'alg1'``.

    Args:
        algorithm: ``'soft'`` for :func:`mean_field`, ``'alg1'`` for the paper's Alg. 1 as printed.
        colour_space: of the pairwise term and the appearance model; the paper has ``'rgb'``.
        w1: weight of the pairwise term (Sec. 3.2).
        zeta: colour bandwidth of the pairwise term, in units of the colour space (Sec. 3.2).
        dilations: distances of the neighbours in cells; the paper has ``(1,)``.
        iterations: total number of mean-field updates; the paper iterates "until convergence". The
            appearance model is estimated twice, before the first update and after a third of them.
            With 0, no label propagates between cells.
        unary_rms: root mean square of the log-odds of a start in its box, before ``unary_scale``;
            see :func:`normalise_logits` (soft; departure). None keeps the log-odds of the network.
        unary_scale: factor on the log-odds of the predicted probabilities (soft).
        unary_limit: bound on the absolute log-odds of the unary and of the appearance model each,
            so that colours can overrule a confident network (soft).
        prior: log-odds of the foreground added to every cell of the box (soft; departure). Offsets
            the messages of the background around the box, which have no counterpart.
        tightness: log-odds that each row and column of the box reaches before scaling, see
            :func:`raise_empty_bags` (soft; departure); None disables it.
        fullness: fraction of the box above which a mask is down-weighted, see
            :func:`suppress_full_masks` (soft; departure); None disables it.
        appearance: weight of :func:`appearance_evidence` (soft; departure); 0 disables it.
        appearance_bandwidth: bandwidth of its kernel, in units of the colour space.

    Raises:
        ValueError: for an unknown algorithm or colour space, wrong dilations, a ``zeta``,
            ``unary_rms``, ``unary_scale``, ``unary_limit`` or ``appearance_bandwidth`` that is not
            positive, negative ``iterations`` or ``appearance``, or a ``fullness`` not in [0, 1).
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
        unary_rms: float | None = 2.5,
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
                f"Expected `unary_scale` to be positive but got {unary_scale}. Use a small value "
                "to let colours alone decide."
            )
        check_ranges(
            zeta=(zeta, "(0, inf)"),
            iterations=(iterations, "[0, inf)"),
            unary_rms=(unary_rms, "(0, inf)"),
            unary_limit=(unary_limit, "(0, inf]"),
            fullness=(fullness, "[0, 1)"),
            appearance=(appearance, "[0, inf)"),
            appearance_bandwidth=(appearance_bandwidth, "(0, inf)"),
        )
        self.algorithm = algorithm
        self.colour_space = colour_space
        self.w1 = w1
        self.zeta = zeta
        self.offsets = neighbour_offsets(dilations)
        self.iterations = iterations
        self.unary_rms = unary_rms
        self.unary_scale = unary_scale
        self.unary_limit = unary_limit
        self.prior = prior
        self.tightness = tightness
        self.fullness = fullness
        self.appearance = appearance
        self.appearance_bandwidth = appearance_bandwidth

    def prepare(
        self,
        coarse: Tensor,
        colours: Tensor,
        inside: Tensor,
        visible: Tensor,
        cut_sides: Tensor | None = None,
    ) -> MeanFieldInputs:
        """Compute the inputs that stay constant while masks and correspondences alternate.

        Args:
            coarse: ``(G, S, S)`` mask logits.
            colours: ``(G, 3, S, S)`` RGB in [0, 255].
            inside: ``(G, S, S)`` boolean, cells in the object's box.
            visible: ``(G, S, S)`` boolean, cells in the image.
            cut_sides: ``(G, 4)`` boolean, sides of the boxes cut by a crop; None: none.
        """
        if self.colour_space == "lab":
            colours = rgb_to_lab(colours)
        affinity = colour_affinity(colours, self.offsets, w1=self.w1, zeta=self.zeta, valid=visible)
        kernel = None
        if self.appearance and self.algorithm == "soft":
            kernel = colour_kernel(colours, bandwidth=self.appearance_bandwidth)
        return MeanFieldInputs(coarse, affinity, kernel, inside, visible, cut_sides)

    def __call__(self, inputs: MeanFieldInputs, cross: Tensor | None = None) -> Tensor:
        """Infer the masks of G objects.

        Args:
            inputs: result of :meth:`prepare`.
            cross: ``(G, S, S)`` log-odds of the cross-image term ``tau_c``.

        Returns:
            ``(G, S, S)`` marginals of the foreground in [0, 1], 0 outside the box.
        """
        run = self._alg1 if self.algorithm == "alg1" else self._soft
        return run(inputs, cross).sigmoid() * inputs.inside

    def _alg1(self, inputs: MeanFieldInputs, cross: Tensor | None) -> Tensor:
        return mean_field_alg1(
            inputs.coarse.sigmoid() * inputs.inside, inputs.affinity, self.offsets,
            iterations=self.iterations, cross=cross, fixed=~inputs.inside,
        )  # fmt: skip

    def _soft(self, inputs: MeanFieldInputs, cross: Tensor | None) -> Tensor:
        limit = self.unary_limit
        coarse = inputs.coarse
        if self.unary_rms is not None:
            coarse = normalise_logits(coarse, inputs.inside, rms=self.unary_rms)
        coarse = coarse.clamp(-limit / self.unary_scale, limit / self.unary_scale)
        if self.fullness is not None:
            coarse = suppress_full_masks(coarse, inputs.inside, above=self.fullness)
        if self.tightness is not None:
            coarse = raise_empty_bags(
                coarse, inputs.inside, floor=self.tightness, cut_sides=inputs.cut_sides
            )
        unary = (self.unary_scale * coarse).clamp(-limit, limit)
        unary = torch.where(inputs.inside, unary + self.prior, _BACKGROUND_LOGIT)
        if inputs.kernel is None:
            return self._mean_field(inputs, unary, cross, self.iterations)
        logits, first = unary, self.iterations // 3
        for iterations in (first, self.iterations - first):
            evidence = appearance_evidence(
                inputs.kernel, logits.sigmoid() * inputs.inside, inputs.visible
            )
            prior = unary + (self.appearance * evidence).clamp(-limit, limit)
            logits = self._mean_field(inputs, prior, cross, iterations)
        return logits

    def _mean_field(
        self, inputs: MeanFieldInputs, unary: Tensor, cross: Tensor | None, iterations: int
    ) -> Tensor:
        return mean_field(
            unary, inputs.affinity, self.offsets,
            iterations=iterations, cross=cross, fixed=~inputs.inside,
        )  # fmt: skip
