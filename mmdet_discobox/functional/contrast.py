"""Dense contrastive learning (Sec. 3.4, ``L_nce``)."""

from __future__ import annotations

from torch import Tensor

from .checks import check_shapes


def dense_nce(similarity: Tensor, targets: Tensor, *, temperature: float) -> Tensor:
    """Compute ``L_nce`` of Sec. 3.4 per cell: ``-log softmax_k(C_u(i, k) / tau)`` at ``k = t_i``.

    The positive of source cell ``i`` is the target cell ``t_i`` assigned by the teacher; all other
    target cells are negatives. The paper prints the sum without the minus sign.

    Args:
        similarity: ``(P, N, M)`` similarities ``C_u`` of the N cells of each source to the M cells
            of its target, cosines in [-1, 1].
        targets: ``(P, N)`` int64 ``t``, the target cell of each source cell, in [0, M). The values
            are not checked: the gather fails on others (on a GPU with a device-side assertion).
        temperature: ``tau``, above 0.

    Returns:
        ``(P, N)`` float32 losses, at least 0.

    Raises:
        ValueError: if the temperature is not above 0, or shapes disagree.
    """
    check_shapes(similarity=(similarity, "P N M"), targets=(targets, "P N"))
    if not temperature > 0:
        raise ValueError(f"Expected `temperature` to be above 0 but got {temperature}.")
    log_probs = (similarity.float() / temperature).log_softmax(-1)  # (P, N, M)
    return -log_probs.gather(-1, targets[..., None])[..., 0]
