"""Key-point pairs as a data set of mmdet's test script."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmdet.registry import DATASETS
from torch.utils.data import Dataset

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
    """The pairs of a set; the pictures are read by whoever transfers the points.

    Pairs of COCO key points are made when they are asked for: memory does not grow with them.

    Args:
        reader: ``'pf_pascal'``, ``'pf_willow'``, ``'spair'`` or ``'coco'``, see
            :mod:`mmdet_discobox.datasets.pairs`.
        limit: number of pairs to draw, with a fixed seed; None for all.
        **settings: arguments of the reader.

    Raises:
        ValueError: if there is no such reader, or what the reader raises.
    """

    def __init__(self, reader: str, *, limit: int | None = None, **settings: Any) -> None:
        if reader not in _READERS:
            raise ValueError(f"Expected `reader` to be one of {[*_READERS]}, but got {reader!r}.")
        self.pairs: Sequence[KeypointPair] = _READERS[reader](**settings)
        self.places = drawn(len(self.pairs), limit)

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> dict[str, KeypointPair]:
        return {"item": self.pairs[self.places[index]]}


def drawn(count: int, limit: int | None) -> Sequence[int]:
    """Places to keep: all, or some that are drawn with a fixed seed, in order.

    Args:
        count: how many there are.
        limit: how many to keep, None for all.
    """
    if limit is None:
        return range(count)
    order = np.random.default_rng(0).permutation(count)
    return sorted(order[:limit].tolist())
