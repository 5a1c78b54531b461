"""Image pairs of the multi-object benchmark as a data set of mmdet's test script."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmdet.registry import DATASETS
from torch.utils.data import Dataset

from .keypoint_pair_dataset import drawn
from .multi_object import ObjectPairSet


@DATASETS.register_module()
class ObjectPairDataset(Dataset):
    """The image pairs of an ``ObjectPairSet``.

    An item is what the set gives, with full paths of the images and the names of the ``classes``.

    Args:
        pairs: ``.npz`` of ``tools/make_multi_object_pairs.py``.
        image_root: folder that its image paths start from.
        limit: number of image pairs to draw, with a fixed seed; None for all.

    Raises:
        FileNotFoundError: if the file is missing.
        ValueError: if it is another kind of file.
    """

    def __init__(
        self, pairs: str | Path, image_root: str | Path, *, limit: int | None = None
    ) -> None:
        self.pair_set = ObjectPairSet.load(pairs)
        self.image_root = Path(image_root)
        self.places = drawn(len(self.pair_set), limit)

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> dict[str, dict[str, Any]]:
        sample = self.pair_set[self.places[index]]
        for side in (sample["source"], sample["target"]):
            side["image"] = str(self.image_root / side["image"])
        return {"item": {**sample, "classes": self.pair_set.objects.classes}}
