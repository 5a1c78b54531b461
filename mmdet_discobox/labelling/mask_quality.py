"""Predict the quality of masks without ground truth.

Some signals in [0, 1] are computed from each mask, its image and its network. Their logarithms are
added up with weights that a logistic regression on human masks gave, one set of weights for each
kind of coarse mask. ``benchmarks/bench_quality.py`` fits and tests them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from mmdet.structures.bbox import bbox_overlaps
from torch import Tensor

from mmdet_discobox.functional import check_shapes
from mmdet_discobox.structures import BoxObjects

#: weight of the boundary's length (relative to the square root of the area) in the compactness
_LENGTH = 0.1
#: lower bound of each signal, so that no single one dominates
_LEAST = 0.02
#: largest IoU of two boxes that counts
_OVERLAP = 0.7
#: colour differences in Lab that are noise
_NOISE = 1.0


@dataclass(frozen=True)
class QualityModel:
    """A logistic regression of the IoU on the logarithms of signals.

    Attributes:
        bias: log-odds of the quality where every signal is 1.
        weights: weight of each signal by its name in :func:`mask_signals`, never negative: a
            stronger signal does not lower the quality. ``alone`` is :func:`loneliness`, ``views``
            the agreement of a labeller's crops.
    """

    bias: float
    weights: Mapping[str, float]

    def __call__(self, signals: Mapping[str, Tensor]) -> Tensor:
        """Predict the IoU of the masks with the truth, ``(G,)`` in [0, 1]."""
        logits = [weight * log_signal(signals[name]) for name, weight in self.weights.items()]
        return (torch.stack(logits).sum(0) + self.bias).sigmoid()


#: masks from the ellipses in the boxes
COLOURS = QualityModel(
    2.41, dict(certainty=1.08, separation=0.46, contrast=1.24, compactness=1.18, alone=0.72)
)
#: masks that started from those of a detector
DETECTOR = QualityModel(
    1.76, dict(certainty=0.17, separation=0.03, contrast=1.67, agreement=0.23, alone=1.16)
)
#: masks that started from those of a box labeller, which looks at several crops
LABELLER = QualityModel(
    2.71,
    dict(
        certainty=0.99,
        separation=0.26,
        contrast=0.63,
        compactness=0.44,
        reach=1.51,
        agreement=0.74,
        network=0.43,
        alone=0.79,
        views=1.57,
    ),
)


def mask_quality(signals: Mapping[str, Tensor], predicted: Tensor) -> Tensor:
    """Predict the IoU of masks with the truth.

    Args:
        signals: of :func:`mask_signals`, with ``alone``, and ``views`` where a box labeller
            predicted.
        predicted: ``(G,)`` boolean, objects with a prediction of the network.

    Returns:
        ``(G,)`` in [0, 1].
    """
    network = LABELLER if "views" in signals else DETECTOR
    return torch.where(predicted, network(signals), COLOURS(signals))


def log_signal(signal: Tensor) -> Tensor:
    """Return the logarithm of a signal in [0, 1], which is bounded below."""
    return signal.clamp(_LEAST, 1).log()


def mask_signals(
    masks: Tensor, probs: Tensor, colours: Tensor, *, network: Tensor, inside: Tensor
) -> dict[str, Tensor]:
    """Compute the signals of masks.

    Args:
        masks: ``(G, S, S)`` refined masks over the objects' regions, in [0, 1].
        probs: ``(G, S, S)`` marginals of the first pass.
        colours: ``(G, 3, s, s)`` Lab over the same regions; s divides S.
        network: ``(G, S, S)`` probabilities of the network, without meaning for objects that it
            did not predict.
        inside: ``(G, S, S)`` boolean, cells in the object's box.

    Returns:
        ``(G,)`` each, in [0, 1]:

        - ``certainty``: expected IoU under the marginals of the first pass;
        - ``separation``: distance between the colours inside and outside the mask;
        - ``contrast``: strength of the image edges along the mask's boundary;
        - ``compactness``: decreases with the length of the boundary;
        - ``reach``: share of the rows of the box that the mask reaches, times that of the columns:
          1 for every true mask of a tight box;
        - ``agreement``: expected IoU under the probabilities of the network;
        - ``network``: expected IoU of the network's own mask under its probabilities.

    Raises:
        ValueError: if the shapes do not fit.
    """
    check_shapes(
        masks=(masks, "G S S"), probs=(probs, "G S S"), inside=(inside, "G S S"),
        colours=(colours, "G 3 s s"),
    )  # fmt: skip
    pooled = F.avg_pool2d(masks[:, None], masks.shape[-1] // colours.shape[-1])[:, 0]  # (G, s, s)
    contrast, compactness = _boundary(colours, pooled)
    return dict(
        certainty=_expected_iou(probs, masks > 0.5),
        separation=_separation(colours, pooled),
        contrast=contrast,
        compactness=compactness,
        reach=_reach(masks > 0.5, inside),
        agreement=_expected_iou(network, masks > 0.5),
        network=_expected_iou(network, network > 0.5),
    )


def loneliness(objects: BoxObjects, others: BoxObjects) -> Tensor:
    """Return how little boxes overlap with any other box of their image, one more signal.

    Args:
        objects: G boxes.
        others: all boxes of the image, also these.

    Returns:
        ``(G,)`` in [0.3, 1]: 1 minus the second largest IoU with a box of the image, since the
        largest is that with itself; at least that of an IoU of 0.7, because few objects of
        photographs overlap more, and a box that is given twice is no worse than others.
    """
    if len(others) < 2:
        return torch.ones_like(objects.boxes[:, 0])
    ious: Tensor = bbox_overlaps(objects.boxes, others.boxes)
    return 1 - ious.topk(2).values[:, 1].clamp_max(_OVERLAP)


def _reach(masks: Tensor, inside: Tensor) -> Tensor:
    """Return the share of the rows of the boxes with a pixel of the mask, times the columns'."""
    masks = masks & inside
    shares = [masks.any(d).sum(1) / inside.any(d).sum(1).clamp_min(1) for d in (1, 2)]
    return shares[0] * shares[1]


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
