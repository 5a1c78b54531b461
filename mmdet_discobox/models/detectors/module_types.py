"""Types of sub-modules: a check of those that a config names, and a search."""

from __future__ import annotations

from typing import Any

from mmcv.ops import (
    CARAFE,
    DeformConv2d,
    DeformRoIPool,
    ModulatedDeformConv2d,
    RoIAlign,
    RoIAlignRotated,
    RoIPool,
)
from torch import nn

#: operators of mmcv 2.1 that read feature maps as if they were contiguous, without checking it
_CONTIGUOUS = (
    CARAFE, DeformConv2d, DeformRoIPool, ModulatedDeformConv2d, RoIAlign, RoIAlignRotated, RoIPool,
)  # fmt: skip


def check_module_type(key: str, module: Any, expected: type) -> None:
    """Check that a sub-module built from the config has the expected class.

    Args:
        key: config key of the sub-module.
        module: the sub-module.
        expected: its class, or a parent of it.

    Raises:
        TypeError: if it has another class.
    """
    if not isinstance(module, expected):
        name = expected.__name__
        raise TypeError(
            f"Expected `{key}` to be a {name} but got {type(module).__name__}. Set "
            f"`{key}=dict(type='{name}')`, with `_delete_=True` over a base that has keys which "
            f"{name} does not accept."
        )


def contiguous_operators(model: nn.Module) -> list[str]:
    """List the names of the operators of mmcv that need contiguous feature maps.

    These are deformable convolutions and, in detectors of two stages, the pooling of regions. With
    channels-last feature maps they compute wrong results instead of an error.
    """
    return [name for name, module in model.named_modules() if isinstance(module, _CONTIGUOUS)]
