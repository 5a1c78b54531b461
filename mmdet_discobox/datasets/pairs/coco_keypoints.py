"""Pair the objects of a COCO key-point json."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

from mmdet_discobox.datasets.multi_object.keypoint_objects import read_coco_keypoints
from mmdet_discobox.datasets.multi_object.objects import KeypointObjects
from mmdet_discobox.utils.paths import require_paths

from .keypoint_pair import KeypointImage, KeypointPair


def read_coco_keypoint_pairs(
    ann_file: str | Path, image_root: str | Path, *, min_common: int = 1
) -> Sequence[KeypointPair]:
    """Read the objects and pair each with all others of its class in other images.

    A pair and its reverse are two pairs, as in PF-WILLOW. Key points count if they are visible
    (``v`` is 2). Crowds and objects whose box has no area inside the image are skipped.

    Args:
        ann_file: A json whose annotations have ``keypoints`` and ``bbox``.
        image_root: folder of its images.
        min_common: smallest number of key points visible in both images.

    Returns:
        The pairs in the order of the json, created on access: their number grows with the square of
        the number of objects per class.

    Raises:
        FileNotFoundError: if the json or images are missing.
        ValueError: if the file is not a COCO json, or has no usable key points.
    """
    objects = read_coco_keypoints(ann_file)
    paths = [Path(image_root) / name for name in objects.images]
    require_paths(
        (paths[place] for place in np.unique(objects.image_index)),
        source=f"It is named in '{ann_file}': set `image_root` to the folder of its images.",
    )
    images = [_keypoint_image(objects, row, paths) for row in range(len(objects))]
    return _LazyPairs(objects, images, min_common)


def _keypoint_image(objects: KeypointObjects, row: int, paths: list[Path]) -> KeypointImage:
    return KeypointImage(
        paths[objects.image_index[row]],
        objects.keypoints[row].astype(np.float64),
        objects.visible[row],
        objects.boxes[row].astype(np.float64),
    )


class _LazyPairs(Sequence[KeypointPair]):
    """Pairs ordered by source, then by target; stores only the number of pairs per source."""

    def __init__(
        self, objects: KeypointObjects, images: list[KeypointImage], min_common: int
    ) -> None:
        self._objects, self._images, self._min_common = objects, images, min_common
        counts = [len(self._targets(source)) for source in range(len(objects))]
        self._first = np.cumsum([0, *counts])  # (N + 1,), index of the first pair of each source

    def __len__(self) -> int:
        return int(self._first[-1])

    @overload
    def __getitem__(self, index: int) -> KeypointPair: ...

    @overload
    def __getitem__(self, index: slice) -> list[KeypointPair]: ...

    def __getitem__(self, index: int | slice) -> KeypointPair | list[KeypointPair]:
        if isinstance(index, slice):
            return [self[place] for place in range(len(self))[index]]
        place = range(len(self))[index]  # resolves negative indices, raises IndexError
        source = int(np.searchsorted(self._first, place, side="right")) - 1
        return self._pair(source, int(self._targets(source)[place - self._first[source]]))

    def __iter__(self) -> Iterator[KeypointPair]:
        for source in range(len(self._objects)):  # finds the targets once per source
            for target in self._targets(source).tolist():
                yield self._pair(source, target)

    def _targets(self, source: int) -> NDArray[np.int64]:
        objects = self._objects
        same_class = objects.labels == objects.labels[source]
        other_image = objects.image_index != objects.image_index[source]
        common = (objects.visible & objects.visible[source]).sum(axis=1)
        return np.flatnonzero(same_class & other_image & (common >= self._min_common))

    def _pair(self, source: int, target: int) -> KeypointPair:
        name = self._objects.classes[self._objects.labels[source]]
        sides = (self._images[source], self._images[target])
        return KeypointPair(f"{source}-{target}:{name}", name, *sides)
