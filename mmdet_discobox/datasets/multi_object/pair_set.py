"""Image pairs of a multi-object benchmark with their objects, stored in one file."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmdet_discobox.utils.files import replacing

from .objects import KeypointObjects

_OBJECT_FIELDS = tuple(field.name for field in fields(KeypointObjects))
_PAIR_FIELDS = ("image_pairs", "object_pairs", "first")
_NAMES = ("images", "classes")
# errors of reading a file of another kind, or an empty, truncated or damaged one
_UNREADABLE = (
    *(ValueError, KeyError, AttributeError, TypeError),
    *(EOFError, OSError, RuntimeError, zipfile.BadZipFile, zlib.error),
)


@dataclass(frozen=True)
class ObjectPairSet:
    """The ``Q`` image pairs and ``M`` object pairs of a benchmark.

    An item is the ground truth of one image pair for ``MultiObjectCorrespondenceMetric``.

    Attributes:
        objects: objects of the data set.
        image_pairs: ``(Q, 2)`` int32, source and target image.
        object_pairs: ``(M, 2)`` int32, source and target object, sorted by image pair.
        first: ``(Q + 1,)`` int64; image pair ``q`` has the object pairs ``first[q]`` to
            ``first[q + 1] - 1``.
    """

    objects: KeypointObjects
    image_pairs: NDArray[np.int32]
    object_pairs: NDArray[np.int32]
    first: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.image_pairs)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return the ground truth of an image pair.

        Args:
            index: from 0 to ``len(self) - 1``.

        Returns:
            ``source`` and ``target``: *all* objects of the image, including those without a pair,
            as a dict of ``image`` (path), ``boxes`` ``(S, 4)``, ``labels`` ``(S,)``, ``keypoints``
            ``(S, P, 2)`` and ``visible`` ``(S, P)``; ``object_pairs`` ``(m, 2)``: the pairs to
            score, as indices into these objects.

        Raises:
            IndexError: if the index is out of range.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"Expected an index from 0 to {len(self) - 1}, but got {index}.")
        source, target = (self._objects_of(image) for image in self.image_pairs[index])
        pairs = self.object_pairs[self.first[index] : self.first[index + 1]]
        return {
            "source": self._side(source),
            "target": self._side(target),
            "object_pairs": pairs - np.array([source.start, target.start], np.int32),
        }

    def save(self, path: str | Path) -> None:
        """Write one compressed ``.npz`` atomically.

        Args:
            path: file to write, by convention ``.npz``.
        """
        arrays = {name: getattr(self.objects, name) for name in _OBJECT_FIELDS}
        arrays |= {name: getattr(self, name) for name in _PAIR_FIELDS}
        arrays |= {name: np.array(getattr(self.objects, name), dtype=np.str_) for name in _NAMES}
        with replacing(Path(path)) as file:
            np.savez_compressed(file, **arrays)

    @classmethod
    def load(cls, path: str | Path) -> ObjectPairSet:
        """Read a file of :meth:`save`.

        Args:
            path: file to read.

        Returns:
            The saved pairs.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if the file is of another kind, or damaged.
        """
        path = Path(path)
        fix = "Create it with tools/make_multi_object_pairs.py."
        if not path.is_file():
            raise FileNotFoundError(
                f"Expected object pairs at '{path}', but there is no such file. {fix}"
            )
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in (*_OBJECT_FIELDS, *_PAIR_FIELDS)}
        except _UNREADABLE as error:
            raise ValueError(
                f"Expected '{path}' to be a file of object pairs, but got: {error}. {fix}"
            ) from error
        arrays |= {name: tuple(arrays[name].tolist()) for name in _NAMES}
        objects = KeypointObjects(**{name: arrays[name] for name in _OBJECT_FIELDS})
        return cls(objects=objects, **{name: arrays[name] for name in _PAIR_FIELDS})

    def _objects_of(self, image: int) -> slice:
        """Return the range of objects of an image; objects are sorted by image."""
        ends = np.searchsorted(self.objects.image_index, [image, image + 1])
        return slice(int(ends[0]), int(ends[1]))

    def _side(self, rows: slice) -> dict[str, Any]:
        image = self.objects.images[int(self.objects.image_index[rows.start])]
        names = ("boxes", "labels", "keypoints", "visible")
        return {"image": image, **{name: getattr(self.objects, name)[rows] for name in names}}
