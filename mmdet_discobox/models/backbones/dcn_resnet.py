"""ResNet with deformable convolutions in every n-th block."""

from __future__ import annotations

from typing import Any

from mmdet.models.backbones import ResNet
from mmdet.models.layers import ResLayer
from mmdet.registry import MODELS


@MODELS.register_module()
class DCNResNet(ResNet):
    """mmdet's ResNet with an interval of deformable blocks within a stage.

    YOLACT++ uses deformable convolutions in every third block of ResNet-101, which saves time at a
    small loss of accuracy. The keys of the state dict are the parent's.

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
        """Build a stage, and replace the blocks between two deformable ones by plain blocks."""
        layer = super().make_res_layer(**kwargs)
        if kwargs["dcn"] is not None and self._dcn_interval > 1:
            plain = super().make_res_layer(**{**kwargs, "dcn": None})
            for index in range(len(layer)):
                if index % self._dcn_interval:
                    layer[index] = plain[index]
        return layer
