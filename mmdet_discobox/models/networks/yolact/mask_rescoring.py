"""Fast mask re-scoring of YOLACT++ (``FastMaskIoUNet``, arXiv 1912.06218)."""

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
    """Predict the IoU of a mask with its object from the mask alone.

    At test time the score of a mask is the product of this IoU and the class score, which does not
    measure the quality of the mask. Masks receive no gradient from the regression.

    Args:
        num_classes: number of classes.
        channels: channels of the 3x3 convolutions of stride 2.
        loss_weight: weight of the regression loss.
        min_area: only targets of more cells are used.
        init_cfg: initialisation; by default the last bias is 0.5, so that no class starts in the
            flat part of the ReLU.
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
        """Predict the IoU of each mask for its class.

        Args:
            masks: ``(N, H, W)`` mask probabilities (not thresholded), 0 outside their boxes.
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
        """Compute the smooth L1 loss of the predicted IoUs.

        Args:
            masks: ``(N, H, W)``, see :meth:`forward`.
            labels: ``(N,)`` classes.
            ious: ``(N,)`` IoU of each mask, thresholded at 0.5, with its target.
            areas: ``(N,)`` area of each target in cells.
            valid: ``(N,)`` boolean, masks with a valid target.

        Returns:
            Scalar, averaged over valid targets above ``min_area``; zero and attached to the graph
            if there is none.
        """
        weights = (valid & (areas > self.min_area)).float()
        predicted = self(masks.detach(), labels).float()
        losses = F.smooth_l1_loss(predicted, ious.float(), reduction="none")
        return self.loss_weight * (losses * weights).sum() / weights.sum().clamp_min(1)
