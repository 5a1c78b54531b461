"""Correspondence given masks: the half of the energy that is minimised in ``T`` (Sec. 3.3)."""

from __future__ import annotations

import torch
from mmdet.registry import MODELS
from torch import Tensor

from mmdet_discobox.functional import (
    iterated_conditional_modes,
    step_mass,
)
from mmdet_discobox.structures import Correspondences

_LEAST = 0.01  # of the strength; votes are up to 1, so what is exponentiated stays within 100


@MODELS.register_module()
class CorrespondenceSolver:
    """Match the cells of two objects by iterated conditional modes around optimal transport.

    In training and at inference alike. It has no state.

    Args:
        gamma: squared width of a geometric vote, in shares of the box's side squared, so that it
            means the same on every grid. The paper gives no value.
        eps: strength of the entropy in the transport. The paper gives no value. It is counted in
            standard deviations of the pair's ``C_u``, not in cosines (departure): features of one
            network spread twice as wide as those of another, and ``L_nce`` spreads them as it
            trains.
        iterations: assignments (Fig. 3); 1 is plain transport of the appearance.
        sinkhorn_iterations: iterations of Alg. 2 within each. With this ``eps``, features of
            photographs leave a residual of 4e-5 on a grid of 20 x 20.
        background: mass of a background cell, where a foreground cell has 1; the paper has 0.6.

    Raises:
        ValueError: if ``eps`` is not above 0.
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
        if not eps > 0:
            raise ValueError(f"Expected `eps` > 0 but got {eps}.")
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
            appearance: ``(P, N, N)`` cosines ``C_u`` between the cells of the objects.
            source_masks: ``(P, S, S)`` probabilities of the foreground.
            target_masks: ``(P, S, S)`` probabilities of the foreground.
        """
        size = source_masks.shape[-1]
        plan, votes = iterated_conditional_modes(
            appearance,
            step_mass(source_masks.flatten(1), low=self.background),
            step_mass(target_masks.flatten(1), low=self.background),
            size=size,
            gamma=self.gamma * size**2,
            eps=self.strength(appearance),
            iterations=self.iterations,
            sinkhorn_iterations=self.sinkhorn_iterations,
        )
        return Correspondences(plan=plan, similarity=appearance + votes)

    def strength(self, appearance: Tensor) -> Tensor:
        """``eps`` of each pair, in units of the cosine.

        Args:
            appearance: ``(P, N, N)`` cosines ``C_u``.

        Returns:
            ``(P,)``, at least 0.01: cosines that are all the same have no spread.
        """
        residue = appearance - appearance.mean((1, 2), keepdim=True)  # `std` warns of no pairs
        return (self.eps * residue.square().mean((1, 2)).sqrt()).clamp_min(_LEAST)
