"""ResNet with deformable convolutions in some blocks of a stage."""

from __future__ import annotations

from typing import Any

from mmdet.models.backbones import ResNet
from mmdet.models.layers import ResLayer
from mmdet.registry import MODELS


@MODELS.register_module()
class DCNResNet(ResNet):
    """mmdet's ResNet, whose ``stage_with_dcn`` makes all blocks of a stage deformable or none.

    YOLACT++ makes every third block of ResNet-101 deformable, which costs little accuracy and
    saves time. Keys are the parent's.

    Args:
        *args: arguments of the parent.
        dcn_interval: blocks 0, ``dcn_interval``, ``2 * dcn_interval``, ... of the stages named by
            ``stage_with_dcn`` are deformable; 1 is the parent.
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
        """Build a stage; the parent calls this for each."""
        layer = super().make_res_layer(**kwargs)
        if kwargs["dcn"] is not None and self._dcn_interval > 1:
            plain = super().make_res_layer(**{**kwargs, "dcn": None})
            for index in range(len(layer)):
                if index % self._dcn_interval:
                    layer[index] = plain[index]
        return layer
