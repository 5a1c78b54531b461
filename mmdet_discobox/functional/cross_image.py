"""The cross-image term of the energy: votes of matched cells for a label (Sec. 3.2)."""

from __future__ import annotations

from torch import Tensor

from .checks import check_shapes


def cross_image_logits(
    plan: Tensor, similarity: Tensor, target_masks: Tensor, source_masks: Tensor | None = None
) -> Tensor:
    """Compute log-odds of the foreground from matched objects (Alg. 1, lines 11 to 15).

    The energy ``-sum_k T(i, k) C(i, k) [x_i = x_k]`` favours the label of the matches of cell i;
    the expected difference between the labels is ``sum_k T(i, k) C(i, k) (2 m_k - 1)``.

    Departures from the paper:

    1. The rows of ``T`` are normalised to sum 1, so the weight of the term does not depend on the
       grid size; the plan of Appendix B sums to 1 as a whole.
    2. The label of a match is its probability ``m_k`` instead of a hard label.
    3. With ``source_masks`` the votes are balanced. The marginals of the plan force every cell to
       match, so unrelated objects would vote for the coverage of the target mask. Balancing shifts
       all votes of a pair by a constant, such that their mean corresponds to the source mask: the
       votes change where the foreground is, but not its area.

    Args:
        plan: ``(P, N, M)`` assignments ``T``, at least 0.
        similarity: ``(P, N, M)`` volume ``C = C_u + C_g``. Negative entries (dissimilar cells
            matched because of the marginals) count as 0.
        target_masks: ``(P, M)`` foreground probabilities in [0, 1].
        source_masks: ``(P, N)`` foreground probabilities for balancing; None disables it.

    Returns:
        ``(P, N)`` log-odds; unbalanced in [-max C, max C], balanced in three times that range.
    """
    check_shapes(
        plan=(plan, "P N M"), similarity=(similarity, "P N M"), target_masks=(target_masks, "P M")
    )
    rows = plan / plan.sum(2, keepdim=True).clamp_min(1e-12)
    votes = rows * similarity.clamp_min(0)
    logits = (votes @ (2 * target_masks - 1)[..., None])[..., 0]
    if source_masks is None:
        return logits
    check_shapes(plan=(plan, "P N M"), source_masks=(source_masks, "P N"))
    balanced_mean = votes.sum(2).mean(1) * (2 * source_masks.mean(1) - 1)
    return logits + (balanced_mean - logits.mean(1))[:, None]
