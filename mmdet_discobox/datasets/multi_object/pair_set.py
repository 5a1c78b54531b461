"""The pairs of a multi-object benchmark and the objects they are made of, as one compact file."""

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
# what reading another file raises, and an empty, cut or damaged one
_UNREADABLE = (
    *(ValueError, KeyError, AttributeError, TypeError),
    *(EOFError, OSError, RuntimeError, zipfile.BadZipFile, zlib.error),
)


@dataclass(frozen=True)
class ObjectPairSet:
    """``Q`` image pairs with ``M`` object pairs.

    An item is the ground truth of one image pair, as ``MultiObjectCorrespondenceMetric`` reads it.

    Attributes:
        objects: The objects.
        image_pairs: ``(Q, 2)`` int32, source and target image.
        object_pairs: ``(M, 2)`` int32, source and target object, ordered by image pair.
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
            index: From 0 to ``len(self) - 1``.

        Returns:
            ``source`` and ``target``: *all* objects of the image, also those in no pair, as a dict
            of ``image`` (path), ``boxes`` ``(S, 4)``, ``labels`` ``(S,)``, ``keypoints``
            ``(S, P, 2)`` and ``visible`` ``(S, P)``; ``object_pairs`` ``(m, 2)``: the pairs to
            score, as places in these two.

        Raises:
            IndexError: If there is no such pair.
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
        """Write everything to one compressed ``.npz``, whole or not at all.

        Args:
            path: File to write; it should end in ``.npz``.
        """
        arrays = {name: getattr(self.objects, name) for name in _OBJECT_FIELDS}
        arrays |= {name: getattr(self, name) for name in _PAIR_FIELDS}
        arrays |= {name: np.array(getattr(self.objects, name), dtype=np.str_) for name in _NAMES}
        with replacing(Path(path)) as file:
            np.savez_compressed(file, **arrays)

    @classmethod
    def load(cls, path: str | Path) -> ObjectPairSet:
        """Read what :meth:`save` wrote.

        Args:
            path: The file.

        Returns:
            The same pairs.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it is another kind of file, or damaged.
        """
        path = Path(path)
        make_it = "Write it with tools/make_multi_object_pairs.py."
        if not path.is_file():
            raise FileNotFoundError(f"Expected object pairs at '{path}', found no file. {make_it}")
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in (*_OBJECT_FIELDS, *_PAIR_FIELDS)}
        except _UNREADABLE as error:
            raise ValueError(
                f"Expected '{path}' to be a file of object pairs, but got: {error}. {make_it}"
            ) from error
        arrays |= {name: tuple(arrays[name].tolist()) for name in _NAMES}
        objects = KeypointObjects(**{name: arrays[name] for name in _OBJECT_FIELDS})
        return cls(objects=objects, **{name: arrays[name] for name in _PAIR_FIELDS})

    def _objects_of(self, image: int) -> slice:
        """Objects are ordered by image: those of one are a range."""
        ends = np.searchsorted(self.objects.image_index, [image, image + 1])
        return slice(int(ends[0]), int(ends[1]))

    def _side(self, rows: slice) -> dict[str, Any]:
        image = self.objects.images[int(self.objects.image_index[rows.start])]
        names = ("boxes", "labels", "keypoints", "visible")
        return {"image": image, **{name: getattr(self.objects, name)[rows] for name in names}}
