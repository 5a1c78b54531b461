"""Dense contrastive learning (Sec. 3.4, ``L_nce``)."""

from __future__ import annotations

from torch import Tensor

from .checks import check_shapes


def dense_nce(similarity: Tensor, targets: Tensor, *, temperature: float) -> Tensor:
    """``L_nce`` of Sec. 3.4, cell by cell: ``-log softmax_k(C_u(i, k) / tau)`` at ``k = t_i``.

    The cell ``t_i`` that the teacher assigned to ``i`` is its positive, every other cell of the
    target is a negative. The paper prints the sum without its minus; a loss has one. The
    logarithm of the softmax is taken once, in float32, so nothing keeps the loss from zero: it
    falls below any bound as the positive leaves the negatives behind.

    Args:
        similarity: ``(P, N, M)`` similarities ``C_u`` of the N cells of each source to the M cells
            of its target, cosines in [-1, 1].
        targets: ``(P, N)`` int64 ``t``, a cell of the target for each cell of the source, in
            [0, M). Outside of it the gather fails (on a GPU as a device-side assertion).
        temperature: ``tau``, above 0.

    Returns:
        ``(P, N)`` float32 losses, at least 0.

    Raises:
        ValueError: if the temperature is not above 0, or a shape is another.
    """
    check_shapes(similarity=(similarity, "P N M"), targets=(targets, "P N"))
    if not temperature > 0:
        raise ValueError(f"Expected `temperature` to be above 0 but got {temperature}.")
    log_probs = (similarity.float() / temperature).log_softmax(-1)  # (P, N, M)
    return -log_probs.gather(-1, targets[..., None])[..., 0]
