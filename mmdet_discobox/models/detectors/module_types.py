"""Types of sub-modules: a check of those that a config names, and a search."""

from __future__ import annotations

from typing import Any

from mmcv.ops import DeformConv2d, ModulatedDeformConv2d
from torch import nn


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


def deformable_convolutions(model: nn.Module) -> list[str]:
    """List the names of the deformable convolutions, which need contiguous feature maps.

    mmcv 2.1 reads their inputs and weights as if they were contiguous.
    """
    kinds = (DeformConv2d, ModulatedDeformConv2d)
    return [name for name, module in model.named_modules() if isinstance(module, kinds)]
