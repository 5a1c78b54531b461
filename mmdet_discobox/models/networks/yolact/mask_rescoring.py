"""Fast mask re-scoring, the third part of YOLACT++ (``FastMaskIoUNet`` of arXiv 1912.06218)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn as nn
import torch.nn.functional as F
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor


@MODELS.register_module()
class MaskRescoring(BaseModule):
    """Predict how well a mask fits, from the mask alone.

    A class score says how sure the box is, not how good the mask is. This small network regresses
    the mask's IoU with its object; at test time the score of a mask is the product of both.

    The masks carry no gradient: a better score must not be had by drawing masks that look easy.

    Args:
        num_classes: number of classes.
        channels: of the 3x3 convolutions of stride 2.
        loss_weight: weight of the regression.
        min_area: masks of fewer cells than this are not learnt from.
        init_cfg: initialisation; the last bias starts at 0.5, so that no class begins behind a
            closed ReLU.
    """

    def __init__(
        self,
        num_classes: int,
        channels: Sequence[int] = (8, 16, 32, 64, 128),
        loss_weight: float = 25.0,
        min_area: float = 25.0,
        init_cfg: dict[str, object] | None = None,
    ) -> None:
        default = dict(
            type="Xavier",
            layer="Conv2d",
            distribution="uniform",
            override=dict(type="Xavier", name="score", distribution="uniform", bias=0.5),
        )
        super().__init__(init_cfg=default if init_cfg is None else init_cfg)
        layers: list[nn.Module] = []
        for ingoing, outgoing in zip((1, *channels), channels, strict=False):
            layers += [nn.Conv2d(ingoing, outgoing, 3, stride=2, padding=1), nn.ReLU(inplace=True)]
        self.convs = nn.Sequential(*layers)
        self.score = nn.Conv2d(channels[-1], num_classes, 1)
        self.loss_weight = loss_weight
        self.min_area = min_area

    def forward(self, masks: Tensor, labels: Tensor) -> Tensor:
        """Predict the quality of masks.

        Args:
            masks: ``(N, H, W)`` mask probabilities, 0 outside their boxes, not thresholded.
            labels: ``(N,)`` classes.

        Returns:
            ``(N,)`` predicted IoUs, at least 0.
        """
        maps = self.score(self.convs(masks[:, None])).relu()  # (N, classes, h, w)
        rows = torch.arange(len(labels), device=labels.device)
        return maps.amax((2, 3))[rows, labels]

    def loss(
        self, masks: Tensor, labels: Tensor, ious: Tensor, areas: Tensor, valid: Tensor
    ) -> Tensor:
        """Regress the IoU of the thresholded masks.

        Args:
            masks: ``(N, H, W)`` as in :meth:`forward`.
            labels: ``(N,)`` classes.
            ious: ``(N,)`` IoU of each mask above 0.5 with its target.
            areas: ``(N,)`` cells of the targets.
            valid: ``(N,)`` boolean, masks whose target is one.

        Returns:
            Scalar: smooth L1 averaged over the masks that count, zero (and part of the graph) if
            none does.
        """
        weights = (valid & (areas > self.min_area)).float()
        predicted = self(masks.detach(), labels).float()
        losses = F.smooth_l1_loss(predicted, ious.float(), reduction="none")
        return self.loss_weight * (losses * weights).sum() / weights.sum().clamp_min(1)
