"""Enumerate the object pairs of the multi-object correspondence benchmark (Sec. 4.1).

Two objects form a pair if they have the same class, are in different images, have a common visible
key point, and their orientations differ by at most 60 degrees. The paper does not specify the
following:

* Each two images form one pair, whose source comes first in the data set. This gives the paper's
  order of 10^6 image pairs for "all pairwise combinations". ``both_directions`` adds the reverse.
* Two objects of one image form no pair.
* Image pairs without an object pair are dropped: they have nothing to score.
* With a maximal angle, pairs with an unknown orientation are ignored.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from mmdet_discobox.datasets.multi_object import KeypointObjects, ObjectPairSet

from .orientations import pairwise_angles

# Rows of the pair matrix of a class at a time, to bound the memory.
_BLOCK = 256
_ROUND_OFF = 1e-4  # degrees; rotations are stored in float32


def make_object_pairs(
    objects: KeypointObjects, *, max_angle: float | None = None, both_directions: bool = False
) -> ObjectPairSet:
    """Find all object pairs of a data set, grouped by image pairs.

    Args:
        objects: objects of the data set.
        max_angle: largest angle between the orientations of a pair in degrees (60 in the paper).
            None keeps all pairs, for data without orientations.
        both_directions: whether to add the reverse of each image pair.

    Returns:
        The pairs, sorted by source image, then by target image.

    Raises:
        ValueError: if ``max_angle`` is given, but all orientations are unknown.
    """
    if max_angle is not None and len(objects) and np.isnan(objects.rotations).any((1, 2)).all():
        raise ValueError(
            f"Expected orientations to compare with max_angle={max_angle}, but found none in "
            f"{len(objects)} objects. Pass max_angle=None to keep all pairs."
        )
    blocks = [
        block
        for label in range(len(objects.classes))
        for block in _blocks_of_class(objects, label, max_angle, both_directions)
    ]
    pairs = np.concatenate([np.zeros((0, 2), np.int32), *blocks])
    return _group_by_images(objects, pairs)


def _blocks_of_class(
    objects: KeypointObjects, label: int, max_angle: float | None, both_directions: bool
) -> Iterator[NDArray[np.int32]]:
    members = np.flatnonzero((objects.labels == label) & objects.visible.any(1)).astype(np.int32)
    image, visible = objects.image_index[members], objects.visible[members].astype(np.float32)
    rotations = objects.rotations[members]
    for start in range(0, len(members), _BLOCK):
        rows = slice(start, start + _BLOCK)
        earlier, later = image[rows, None], image[None]
        wanted = earlier != later if both_directions else earlier < later  # (rows, members)
        wanted &= visible[rows] @ visible.T > 0
        if max_angle is not None:
            wanted &= pairwise_angles(rotations[rows], rotations) <= max_angle + _ROUND_OFF
        source, target = np.nonzero(wanted)
        yield np.stack([members[rows][source], members[target]], 1)


def _group_by_images(objects: KeypointObjects, pairs: NDArray[np.int32]) -> ObjectPairSet:
    images = objects.image_index[pairs].astype(np.int64)  # (M, 2)
    keys = images[:, 0] * len(objects.images) + images[:, 1]
    order = np.argsort(keys, kind="stable")
    unique, first = np.unique(keys[order], return_index=True)
    image_pairs = np.stack(np.divmod(unique, max(len(objects.images), 1)), 1)
    return ObjectPairSet(
        objects=objects,
        image_pairs=image_pairs.astype(np.int32),
        object_pairs=pairs[order],
        first=np.append(first, len(pairs)).astype(np.int64),
    )
