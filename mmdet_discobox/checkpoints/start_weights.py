"""Leave out the weights that a backbone loads while it is built."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def without_start_weights(value: Any) -> Any:
    """Return a part of a config with each `pretrained=True` replaced by False.

    mmpretrain's ``TIMMBackbone`` downloads its weights when it is built, ``EfficientNetLite`` reads
    them from another package. Neither is needed where a checkpoint follows. (Other backbones load
    theirs in ``init_weights``, from their ``init_cfg``.)
    """
    if isinstance(value, (list, tuple)):
        return type(value)(map(without_start_weights, value))
    if not isinstance(value, Mapping):
        return value
    parts = {key: without_start_weights(item) for key, item in value.items()}
    if parts.get("pretrained") is True:
        parts["pretrained"] = False
    return type(value)(parts)  # type: ignore[call-arg]  # mmdet reads attributes of a ConfigDict
