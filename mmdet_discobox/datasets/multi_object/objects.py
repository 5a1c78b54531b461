"""Objects of a data set with boxes, key points and orientations, as arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class KeypointObjects:
    """The ``N`` objects of a data set, with at most ``P`` key points each.

    Key point ``p`` of two objects of a class is the same part of the object. Classes with fewer
    key points are padded with invisible ones.

    Attributes:
        images: paths of the images, relative to the folder of the data set.
        classes: names of the classes.
        image_index: ``(N,)`` int32, indices into ``images``, sorted.
        labels: ``(N,)`` int32, indices into ``classes``.
        boxes: ``(N, 4)`` float32 ``(x1, y1, x2, y2)`` in pixels.
        keypoints: ``(N, P, 2)`` float32 ``(x, y)`` in pixels, zero where not visible.
        visible: ``(N, P)`` boolean.
        rotations: ``(N, 3, 3)`` float32, NaN where the orientation is unknown.
    """

    images: tuple[str, ...]
    classes: tuple[str, ...]
    image_index: NDArray[np.int32]
    labels: NDArray[np.int32]
    boxes: NDArray[np.float32]
    keypoints: NDArray[np.float32]
    visible: NDArray[np.bool_]
    rotations: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def from_records(
        cls,
        records: Sequence[Mapping[str, Any]],
        *,
        images: Sequence[str],
        classes: Sequence[str],
        num_keypoints: int,
    ) -> KeypointObjects:
        """Stack the records of single objects.

        Args:
            records: for each object ``image`` and ``label`` (indices into the two lists below),
                ``box`` ``(x1, y1, x2, y2)``, ``keypoints``, a mapping from the index of a visible
                key point to its ``(x, y)``, and ``rotation``, ``(3, 3)`` or None.
            images: paths of the images.
            classes: names of the classes.
            num_keypoints: largest number of key points of a class, ``P``.

        Returns:
            The objects, sorted by image.
        """
        records = sorted(records, key=lambda record: record["image"])
        count = len(records)
        keypoints = np.zeros((count, num_keypoints, 2), np.float32)
        visible = np.zeros((count, num_keypoints), bool)
        rotations = np.full((count, 3, 3), np.nan, np.float32)
        for row, record in enumerate(records):
            for number, location in record["keypoints"].items():
                keypoints[row, number], visible[row, number] = location, True
            if record["rotation"] is not None:
                rotations[row] = record["rotation"]
        return cls(
            images=tuple(images),
            classes=tuple(classes),
            image_index=np.array([record["image"] for record in records], np.int32),
            labels=np.array([record["label"] for record in records], np.int32),
            boxes=np.array([record["box"] for record in records], np.float32).reshape(-1, 4),
            keypoints=keypoints,
            visible=visible,
            rotations=rotations,
        )
