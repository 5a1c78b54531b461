"""The cross-image term of the energy: what matched objects say about a cell (Sec. 3.2)."""

from __future__ import annotations

from torch import Tensor

from .checks import check_shapes


def cross_image_logits(
    plan: Tensor, similarity: Tensor, target_masks: Tensor, source_masks: Tensor | None = None
) -> Tensor:
    """Log-odds of the foreground from one matched object each, Alg. 1, lines 11 to 15.

    The energy ``-sum_k T(i, k) C(i, k) [x_i = x_k]`` is smaller for the label that the matches of
    cell i carry, by ``sum_k T(i, k) C(i, k) (2 m_k - 1)`` in expectation: these are log-odds.

    Two departures. ``T`` is read by rows that sum to 1, so that the term weighs as much on a fine
    grid as on a coarse one; the plan of Appendix B sums to 1 as a whole. And the label of a match
    is its probability ``m_k``, not a hard one.

    A third departure is for the caller to choose. The marginals of the plan make every cell match
    something, and more of them the foreground than the background, so that objects which have
    nothing in common still vote, for a mask as full as the matched one. With ``source_masks`` all
    votes of a pair are shifted by one number: on average they favour the foreground as much as the
    source's own mask does. They say where it is, and not how much there is of it.

    Args:
        plan: ``(P, N, M)`` assignments ``T``, at least 0.
        similarity: ``(P, N, M)`` volume ``C = C_u + C_g``. Negative entries, of cells that were
            matched although they do not resemble each other, say nothing.
        target_masks: ``(P, M)`` probabilities of the foreground in [0, 1].
        source_masks: ``(P, N)`` likewise, to balance the votes by; None leaves them as they are.

    Returns:
        ``(P, N)`` log-odds; unbalanced they lie in [-max C, max C], else in thrice this.
    """
    check_shapes(
        plan=(plan, "P N M"), similarity=(similarity, "P N M"), target_masks=(target_masks, "P M")
    )
    rows = plan / plan.sum(2, keepdim=True).clamp_min(1e-12)
    votes = rows * similarity.clamp_min(0)
    # p: pair, n: cell of the source, m: cell of the target
    logits = (votes @ (2 * target_masks - 1)[..., None])[..., 0]
    if source_masks is None:
        return logits
    check_shapes(plan=(plan, "P N M"), source_masks=(source_masks, "P N"))
    own = votes.sum(2).mean(1) * (2 * source_masks.mean(1) - 1)
    return logits + (own - logits.mean(1))[:, None]
