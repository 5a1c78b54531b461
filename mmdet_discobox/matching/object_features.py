"""Features of objects, of a chosen level at a chosen grid, out of one forward pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from mmdet_discobox.models.teachers import crop_regions

#: a part of the detector, and which of its outputs: 0 is the finest
FeatureLevel = tuple[str, int]
PARTS = ("backbone", "neck")


@contextmanager
def captured_maps(model: Any, part: str) -> Iterator[list[Tensor]]:
    """Keep the feature maps that a detector computes anyway, whatever it computes them for.

    Args:
        model: a detector of mmdet.
        part: ``'backbone'`` or ``'neck'``.

    Yields:
        A list that holds the outputs of the last forward pass of the part, finest first.

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
    """Average a feature map of one image over grids of S x S cells on boxes.

    Args:
        maps: ``(1, C, h, w)`` each.
        boxes: ``(n, 4)`` in pixels of the network's input.
        level: whose second item tells which map.
        size: S.
        input_size: ``(height, width)`` of the network's input, with its padding.

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
