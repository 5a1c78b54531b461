"""True masks of some objects of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmdet.structures import DetDataSample
from torch import Tensor

from mmdet_discobox.functional import check_shapes

from .partial_masks import PartialMasks


@dataclass(frozen=True)
class TrueMasks:
    """True masks of M of the G objects of a batch.

    Attributes:
        masks: ``(M, H, W)`` boolean masks in pixels of the padded batch.
        object_inds: ``(M,)`` index of the object of each mask, increasing.
    """

    masks: Tensor
    object_inds: Tensor

    def __post_init__(self) -> None:
        check_shapes(masks=(self.masks, "M H W"), object_inds=(self.object_inds, "M"))

    def __len__(self) -> int:
        return len(self.masks)

    @classmethod
    def from_samples(
        cls, samples: Sequence[DetDataSample], size: tuple[int, int], device: torch.device
    ) -> TrueMasks:
        """Collect the true masks of a batch; their number is known without reading the device.

        Args:
            samples: data samples with :class:`PartialMasks` as ``masks`` in ``gt_instances``.
            size: ``(H, W)`` of the padded batch in pixels.
            device: device of the result.

        Raises:
            TypeError: if a sample has no such masks.
        """
        masks = [_partial_masks(sample) for sample in samples]
        flags = np.concatenate([each.is_true for each in masks])
        padded = np.zeros((int(flags.sum()), *size), bool)
        start = 0
        for each in masks:
            own = each.masks[each.is_true][:, : size[0], : size[1]]
            padded[start : start + len(own), : own.shape[1], : own.shape[2]] = own
            start += len(own)
        return cls(_to_device(padded, device), _to_device(np.flatnonzero(flags), device))


def _partial_masks(sample: DetDataSample) -> PartialMasks:
    masks: Any = sample.gt_instances.get("masks")
    if isinstance(masks, PartialMasks):
        return masks
    raise TypeError(
        "Expected PartialMasks in the data samples of a model with `true_masks` but got "
        f"{type(masks).__name__}. Set `use_masks=True` in the CocoBoxDataset and put "
        "dict(type='LoadTrueMasks') after LoadAnnotations. Transforms that build new masks, such "
        "as CopyPaste, lose which objects have one and cannot be used."
    )


def _to_device(array: np.ndarray, device: torch.device) -> Tensor:
    """Copy an array to a device, from pinned memory, which does not synchronise with a GPU."""
    tensor = torch.from_numpy(array)
    if device.type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)
