"""Features of objects from a level of the backbone or the neck."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from mmdet_discobox.models.teachers import crop_regions

#: part of the detector, and the index of its output; 0 is the finest
FeatureLevel = tuple[str, int]
PARTS = ("backbone", "neck")


@contextmanager
def captured_maps(model: Any, part: str) -> Iterator[list[Tensor]]:
    """Capture the feature maps of the forward passes inside the context.

    Args:
        model: a detector of mmdet.
        part: ``'backbone'`` or ``'neck'``.

    Yields:
        A list with the outputs of the part's last forward pass, finest first.

    Raises:
        ValueError: if the detector has no such part.
    """
    module = getattr(model, part, None) if part in PARTS else None
    if module is None:
        raise ValueError(
            f"Expected the features' part to be one of {PARTS} that {type(model).__name__} has, "
            f"but got {part!r}."
        )
    maps: list[Tensor] = []

    def keep(_module: Any, _inputs: Any, outputs: Any) -> None:
        maps[:] = outputs

    handle = module.register_forward_hook(keep)
    try:
        yield maps
    finally:
        handle.remove()


def object_features(
    maps: list[Tensor],
    boxes: Tensor,
    *,
    level: FeatureLevel,
    size: int,
    input_size: tuple[int, int],
) -> Tensor:
    """Crop a feature map of one image to grids of S x S cells over boxes.

    Args:
        maps: outputs of the part, ``(1, C, h, w)`` each.
        boxes: ``(n, 4)`` in pixels of the network's input.
        level: part and index of the map.
        size: S.
        input_size: ``(height, width)`` of the network's input, with padding.

    Returns:
        ``(n, C, S, S)`` float32.

    Raises:
        ValueError: if there is no such map.
    """
    part, index = level
    if not 0 <= index < len(maps):
        raise ValueError(
            f"Expected the features' index to be from 0 to {len(maps) - 1}, the outputs of the "
            f"{part}, but got {index}."
        )
    chosen = maps[index]
    height, width = chosen.shape[-2:]
    scale = boxes.new_tensor([width / input_size[1], height / input_size[0]]).repeat(2)
    return crop_regions(chosen, boxes * scale, boxes.new_zeros(len(boxes)), size)
