"""Correspondence given masks: minimise the energy of Sec. 3.2 in ``T`` (Sec. 3.3)."""

from __future__ import annotations

import torch
from mmdet.registry import MODELS
from torch import Tensor

from mmdet_discobox.functional import check_ranges, iterated_conditional_modes, step_mass
from mmdet_discobox.structures import Correspondences

#: smallest ``eps`` in units of the cosine: votes are at most 1, so exponents stay within 100
_MIN_EPS = 0.01


@MODELS.register_module()
class CorrespondenceSolver:
    """Match the cells of two objects by iterated conditional modes around optimal transport.

    Stateless; used in training and at inference.

    Args:
        gamma: variance of the Gaussian of the geometric votes, as a fraction of the squared side of
            the box, so that it does not depend on the grid size. The paper gives no value.
        eps: entropic regularisation of the transport; the paper gives no value. Departure: in
            standard deviations of the pair's ``C_u``, because the spread of the cosines differs
            between networks and grows while ``L_nce`` trains.
        iterations: number of assignments (Fig. 3); 1 is plain transport of ``C_u``.
        sinkhorn_iterations: iterations of Alg. 2 per assignment.
        background: mass of a background cell, relative to 1 of a foreground cell; the paper has
            0.6 (Appendix B).

    Raises:
        ValueError: if ``gamma`` or ``eps`` is not above 0, ``background`` is negative, or a number
            of iterations is below 1.
    """

    def __init__(
        self,
        *,
        gamma: float = 0.01,
        eps: float = 0.7,
        iterations: int = 5,
        sinkhorn_iterations: int = 30,
        background: float = 0.6,
    ) -> None:
        check_ranges(
            gamma=(gamma, "(0, inf)"),
            eps=(eps, "(0, inf)"),
            iterations=(iterations, "[1, inf)"),
            sinkhorn_iterations=(sinkhorn_iterations, "[1, inf)"),
            background=(background, "[0, inf)"),
        )
        self.gamma = gamma
        self.eps = eps
        self.iterations = iterations
        self.sinkhorn_iterations = sinkhorn_iterations
        self.background = background

    @torch.no_grad()
    def __call__(
        self, appearance: Tensor, source_masks: Tensor, target_masks: Tensor
    ) -> Correspondences:
        """Solve a batch of pairs.

        Args:
            appearance: ``(P, N, N)`` cosines ``C_u`` between the cells of the objects; N = S * S.
            source_masks: ``(P, S, S)`` foreground probabilities.
            target_masks: ``(P, S, S)`` foreground probabilities.
        """
        size = source_masks.shape[-1]
        plan, votes = iterated_conditional_modes(
            appearance,
            step_mass(source_masks.flatten(1), low=self.background),
            step_mass(target_masks.flatten(1), low=self.background),
            size=size,
            gamma=self.gamma * size**2,
            eps=self.scaled_eps(appearance),
            iterations=self.iterations,
            sinkhorn_iterations=self.sinkhorn_iterations,
        )
        return Correspondences(plan=plan, similarity=appearance + votes)

    def scaled_eps(self, appearance: Tensor) -> Tensor:
        """Convert ``eps`` to units of the cosine for each pair.

        Args:
            appearance: ``(P, N, N)`` cosines ``C_u``.

        Returns:
            ``(P,)``, at least 0.01, because equal cosines have no spread.
        """
        centred = appearance - appearance.mean((1, 2), keepdim=True)  # `std` warns without a pair
        return (self.eps * centred.square().mean((1, 2)).sqrt()).clamp_min(_MIN_EPS)
