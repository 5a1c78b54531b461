"""Data sets of image pairs for the test script of mmdet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmdet.registry import DATASETS
from torch.utils.data import Dataset

from .multi_object import ObjectPairSet
from .pairs import (
    KeypointPair,
    read_coco_keypoint_pairs,
    read_pf_pascal,
    read_pf_willow,
    read_spair,
)

_READERS: dict[str, Any] = {
    "pf_pascal": read_pf_pascal,
    "pf_willow": read_pf_willow,
    "spair": read_spair,
    "coco": read_coco_keypoint_pairs,
}


@DATASETS.register_module()
class KeypointPairDataset(Dataset):
    """Image pairs with common key points.

    Items hold paths, not images. Pairs of COCO key points are created on access, so that memory
    does not grow with their number.

    Args:
        reader: ``'pf_pascal'``, ``'pf_willow'``, ``'spair'`` or ``'coco'``, see
            :mod:`mmdet_discobox.datasets.pairs`.
        limit: number of pairs to draw with a fixed seed; None keeps all.
        **settings: arguments of the reader.

    Raises:
        ValueError: if the reader is unknown.
    """

    def __init__(self, reader: str, *, limit: int | None = None, **settings: Any) -> None:
        if reader not in _READERS:
            raise ValueError(f"Expected `reader` to be one of {[*_READERS]}, but got {reader!r}.")
        self.pairs: Sequence[KeypointPair] = _READERS[reader](**settings)
        self._indices = _draw_indices(len(self.pairs), limit)

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int) -> dict[str, KeypointPair]:
        return {"item": self.pairs[self._indices[index]]}


@DATASETS.register_module()
class ObjectPairDataset(Dataset):
    """Image pairs of the multi-object benchmark.

    Items are those of :class:`ObjectPairSet`, with full image paths and the names of the
    ``classes``.

    Args:
        pairs: file of ``tools/make_multi_object_pairs.py`` (``.npz``).
        image_root: folder that the image paths are relative to.
        limit: number of image pairs to draw with a fixed seed; None keeps all.

    Raises:
        FileNotFoundError: if the file is missing.
        ValueError: if it is not a file of object pairs.
    """

    def __init__(
        self, pairs: str | Path, image_root: str | Path, *, limit: int | None = None
    ) -> None:
        self.pair_set = ObjectPairSet.load(pairs)
        self.image_root = Path(image_root)
        self._indices = _draw_indices(len(self.pair_set), limit)

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int) -> dict[str, dict[str, Any]]:
        sample = self.pair_set[self._indices[index]]
        for side in (sample["source"], sample["target"]):
            side["image"] = str(self.image_root / side["image"])
        return {"item": {**sample, "classes": self.pair_set.objects.classes}}


def _draw_indices(count: int, limit: int | None) -> Sequence[int]:
    """Return all indices below ``count``, or ``limit`` of them, drawn with a fixed seed, sorted."""
    if limit is None:
        return range(count)
    order = np.random.default_rng(0).permutation(count)
    return sorted(order[:limit].tolist())
