"""Infer the architecture of a SOLOv2 from its weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import isqrt
from typing import Any

import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from torch import Tensor

_DCN = dict(type="DCNv2")
#: (has bottlenecks, blocks of each stage) -> depth of the ResNet
_DEPTHS: dict[tuple[bool, tuple[int, ...]], int] = {
    (False, (2, 2, 2, 2)): 18,
    (False, (3, 4, 6, 3)): 34,
    (True, (3, 4, 6, 3)): 50,
    (True, (3, 4, 23, 3)): 101,
    (True, (3, 8, 36, 3)): 152,
}
#: tensors that determine the architecture
_ANCHORS = (
    "backbone.conv1.weight",
    "backbone.layer1.0.conv2.weight",
    "neck.lateral_convs.0.conv.weight",
    "mask_head.cls_convs.0.conv.weight",
    "mask_head.conv_cls.weight",
    "mask_head.conv_kernel.weight",
    "mask_head.mask_feature_head.conv_pred.conv.weight",
)


@dataclass(frozen=True)
class SOLOv2Architecture:
    """The settings of a SOLOv2 that its weights determine.

    Attributes:
        backbone: settings of a ``ResNet`` or ``ResNeXt``.
        neck: settings of the ``FPN``.
        mask_head: settings of the ``SOLOV2Head``, except those that no weight determines (grids,
            scale ranges, groups of the normalisation).
    """

    backbone: dict[str, Any]
    neck: dict[str, Any]
    mask_head: dict[str, Any]

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return self.mask_head["num_classes"]

    @classmethod
    def from_weights(cls, weights: Mapping[str, Tensor]) -> SOLOv2Architecture:
        """Infer depth, channels, classes and deformable convolutions.

        Args:
            weights: weights of a SOLOv2 under stock keys.

        Raises:
            ValueError: if a required tensor is missing, the backbone is no ResNet, or the mask
                kernels are larger than 1 x 1, which :class:`.DiscoBoxSOLOv2Head` does not support.
        """
        if missing := [key for key in _ANCHORS if key not in weights]:
            raise ValueError(
                "Expected the weights of a SOLOv2 on a ResNet with an FPN, but these are missing: "
                f"{', '.join(missing)}."
            )
        return cls(_backbone(weights), _neck(weights), _mask_head(weights))

    def shapes(self) -> dict[str, torch.Size]:
        """Return the keys and shapes of the weights of a stock SOLOv2 with these settings."""
        norm = dict(type="GN", num_groups=1)  # the number of groups changes no shape
        mask_head = dict(self.mask_head, num_grids=[1] * 5, strides=[8, 8, 16, 32, 32])
        mask_head.update(scale_ranges=((1, 2),) * 5, pos_scale=0.2, norm_cfg=norm)
        mask_head["mask_feature_head"] = dict(self.mask_head["mask_feature_head"], norm_cfg=norm)
        config = dict(
            type="SOLOv2",
            _scope_="mmdet",
            backbone=self.backbone,
            neck=self.neck,
            mask_head=dict(
                type="SOLOV2Head",
                loss_mask=dict(type="DiceLoss"),
                loss_cls=dict(type="FocalLoss", use_sigmoid=True),
                **mask_head,
            ),
        )
        with torch.device("meta"):
            model = MODELS.build(Config(config))
        return {key: value.shape for key, value in model.state_dict().items()}


def _backbone(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    blocks = tuple(_count(weights, rf"backbone\.layer{stage}\.") for stage in (1, 2, 3, 4))
    bottlenecks = "backbone.layer1.0.conv3.weight" in weights
    if (bottlenecks, blocks) not in _DEPTHS:
        kind = "bottleneck" if bottlenecks else "basic"
        raise ValueError(
            f"Expected the backbone to be a ResNet of depth {sorted(_DEPTHS.values())}, but its "
            f"stages have {blocks} {kind} blocks. Are keys of the last blocks missing?"
        )
    convolution = weights["backbone.layer1.0.conv2.weight"]
    width, group_width = convolution.shape[:2]
    backbone: dict[str, Any] = dict(
        type="ResNet",
        depth=_DEPTHS[bottlenecks, blocks],
        base_channels=len(weights["backbone.conv1.weight"]),
    )
    if width != group_width:
        backbone.update(type="ResNeXt", groups=width // group_width, base_width=group_width)
    stages = tuple(_any(weights, rf"backbone\.layer{s}\..*\.conv_offset\.") for s in (1, 2, 3, 4))
    if any(stages):
        dcn = dict(_DCN, deform_groups=1, fallback_on_stride=False)
        backbone.update(dcn=dcn, stage_with_dcn=stages)
    return backbone


def _neck(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    levels = _count(weights, r"neck\.lateral_convs\.")
    laterals = [weights.get(f"neck.lateral_convs.{level}.conv.weight") for level in range(levels)]
    return dict(
        type="FPN",
        in_channels=[1 if lateral is None else lateral.shape[1] for lateral in laterals],
        out_channels=len(weights["neck.lateral_convs.0.conv.weight"]),
        start_level=0,
        num_outs=5,
    )


def _mask_head(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    first = weights["mask_head.cls_convs.0.conv.weight"]
    prediction = weights["mask_head.mask_feature_head.conv_pred.conv.weight"]
    size = isqrt(len(weights["mask_head.conv_kernel.weight"]) // len(prediction))
    if size > 1:
        raise ValueError(
            f"Expected mask kernels of 1 x 1 but the weights have kernels of {size} x {size} "
            "(`dynamic_conv_size`), which shift the masks: SOLOv2 convolves without padding."
        )
    levels = _count(weights, r"mask_head\.mask_feature_head\.convs_all_levels\.")
    features: dict[str, Any] = dict(
        feat_channels=prediction.shape[1],
        start_level=0,
        end_level=levels - 1,
        out_channels=len(prediction),
    )
    head: dict[str, Any] = dict(
        num_classes=len(weights["mask_head.conv_cls.weight"]),
        in_channels=first.shape[1],
        feat_channels=len(first),
        stacked_convs=_count(weights, r"mask_head\.cls_convs\."),
        mask_feature_head=features,
    )
    if _any(weights, r"mask_head\.mask_feature_head\..*\.conv_offset\."):
        features["conv_cfg"] = dict(_DCN)
    if _any(weights, r"mask_head\.(cls|kernel)_convs\..*\.conv_offset\."):
        everywhere = _any(weights, r"mask_head\.(cls|kernel)_convs\.0\..*\.conv_offset\.")
        head.update(dcn_cfg=dict(_DCN), dcn_apply_to_all_conv=everywhere)
    return head


def _count(weights: Mapping[str, Tensor], prefix: str) -> int:
    """Return the length of a module list by its largest index; gaps are found by their keys."""
    matches = (re.match(rf"{prefix}(\d+)\.", key) for key in weights)
    return max((int(match[1]) + 1 for match in matches if match), default=0)


def _any(weights: Mapping[str, Tensor], pattern: str) -> bool:
    return any(re.match(pattern, key) for key in weights)
