"""Predict the quality of masks without ground truth.

The geometric mean of four signals in [0, 1], which need no training, predicts the IoU; a network
that knows the class adds a fifth. ``docs/results.md`` has their rank correlation with the IoU.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from mmdet_discobox.functional import check_shapes

#: weight of the boundary's length (relative to the square root of the area) in the compactness
_LENGTH = 0.1
#: lower bound of each signal, so that no single one dominates
_LEAST = 0.02
#: colour differences in Lab that are noise
_NOISE = 1.0


def mask_quality(
    masks: Tensor, probs: Tensor, colours: Tensor, *, network: Tensor, predicted: Tensor
) -> Tensor:
    """Predict the IoU of masks with the truth.

    1. Certainty: expected IoU under the marginals of the first pass.
    2. Separation: distance between the colours inside and outside the mask.
    3. Contrast: strength of the image edges along the mask's boundary.
    4. Compactness: decreases with the length of the boundary.
    5. Agreement, for objects with a network's prediction: expected IoU under its probabilities.

    Args:
        masks: ``(G, S, S)`` refined masks over the objects' regions, in [0, 1].
        probs: ``(G, S, S)`` marginals of the first pass.
        colours: ``(G, 3, s, s)`` Lab over the same regions; s divides S.
        network: ``(G, S, S)`` probabilities of the network.
        predicted: ``(G,)`` boolean, objects with a prediction of the network.

    Returns:
        ``(G,)`` in [0, 1].
    """
    check_shapes(masks=(masks, "G S S"), probs=(probs, "G S S"), colours=(colours, "G 3 s s"))
    pooled = F.avg_pool2d(masks[:, None], masks.shape[-1] // colours.shape[-1])[:, 0]  # (G, s, s)
    signals = [
        _expected_iou(probs, masks > 0.5),
        _separation(colours, pooled),
        *_boundary(colours, pooled),
        _expected_iou(network, masks > 0.5),
    ]
    logs = torch.stack(signals).clamp(_LEAST, 1).log()  # (5, G)
    return torch.where(predicted, logs.mean(0), logs[:-1].mean(0)).exp()


def _expected_iou(probs: Tensor, masks: Tensor) -> Tensor:
    """Divide the expected intersection by the expected union with independent random pixels."""
    overlap = (probs * masks).sum((1, 2))
    union = masks.sum((1, 2)) + (probs * ~masks).sum((1, 2))
    return overlap / union.clamp_min(1e-6)


def _separation(colours: Tensor, masks: Tensor) -> Tensor:
    """Map the distance d of the mean colours, in standard deviations, to d / (1 + d)."""
    (inner, inner_var), (outer, outer_var) = (
        _moments(colours, weights) for weights in (masks, 1 - masks)
    )
    spread = inner_var + outer_var + 4 * _NOISE**2
    distance = ((inner - outer) ** 2 / spread).sum(1).sqrt()
    return distance / (1 + distance)


def _moments(colours: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Compute mean and variance ``(G, 3)`` of the colours under weights ``(G, s, s)``."""
    shares = weights / weights.sum((1, 2), keepdim=True).clamp_min(1e-3)
    # g: objects, c: channels, h, w: cells
    mean = torch.einsum("gchw,ghw->gc", colours, shares)
    squares = (colours - mean[:, :, None, None]) ** 2
    return mean, torch.einsum("gchw,ghw->gc", squares, shares)


def _boundary(colours: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """Compute contrast and compactness from the differences between neighbouring cells."""
    colour_steps = [colours.diff(dim=axis).norm(dim=1) for axis in (2, 3)]
    mask_steps = [masks.diff(dim=axis).abs() for axis in (1, 2)]
    pairs = list(zip(colour_steps, mask_steps, strict=True))
    length = torch.stack([steps.sum((1, 2)) for steps in mask_steps]).sum(0)
    along = torch.stack([(c * m).sum((1, 2)) for c, m in pairs]).sum(0) / (length + 1e-3)
    usual = torch.stack([steps.mean((1, 2)) for steps in colour_steps]).mean(0)
    ratio = along / (usual + _NOISE)
    relative = length / masks.sum((1, 2)).clamp_min(1).sqrt()
    return ratio / (1 + ratio), 1 / (1 + _LENGTH * relative)
