"""Boxes of a COCO json as arrays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mmdet_discobox.utils.types import Json

from .coco_values import quote


@dataclass(frozen=True)
class BoxTable:
    """The ``G`` boxes of a COCO json without problems, see :func:`find_problems`.

    Attributes:
        dataset: the json.
    """

    dataset: Json

    @cached_property
    def corners(self) -> np.ndarray:
        """``(G, 4)`` float64 ``(x1, y1, x2, y2)`` in pixels, not clipped to the image."""
        return np.concatenate([self._boxes[:, :2], self._boxes[:, :2] + self.sides], 1)

    @property
    def sides(self) -> np.ndarray:
        """``(G, 2)`` width and height of the boxes."""
        return self._boxes[:, 2:]

    @cached_property
    def image_inds(self) -> np.ndarray:
        """``(G,)`` index in ``images`` of the image of each box."""
        return self._indices("images", "image_id")

    @cached_property
    def class_inds(self) -> np.ndarray:
        """``(G,)`` index in ``categories`` of the class of each box."""
        return self._indices("categories", "category_id")

    @cached_property
    def image_sizes(self) -> np.ndarray:
        """``(images, 2)`` width and height of the images."""
        sizes = [(image["width"], image["height"]) for image in self.dataset["images"]]
        return np.array(sizes, dtype=float).reshape(-1, 2)

    @cached_property
    def ignored(self) -> np.ndarray:
        """``(G,)`` boolean: ``ignore`` is set; mmdet skips the box."""
        return self._flags("ignore")

    @cached_property
    def crowd(self) -> np.ndarray:
        """``(G,)`` boolean: ``iscrowd`` is set; the box is not a single object."""
        return self._flags("iscrowd")

    @cached_property
    def thin(self) -> np.ndarray:
        """``(G,)`` boolean: thinner than a pixel; mmdet drops the box."""
        return (self.sides < 1).any(1) & ~self.ignored

    @cached_property
    def outside(self) -> np.ndarray:
        """``(G,)`` boolean: not thin, but outside the image; mmdet drops the box."""
        limits = self.image_sizes[self.image_inds]
        beyond = (self.corners[:, :2] >= limits) | (self.corners[:, 2:] <= 0)
        return beyond.any(1) & ~self.thin & ~self.ignored

    @cached_property
    def past_border(self) -> np.ndarray:
        """``(G,)`` boolean: reaches past the image by more than a pixel; mmdet clips the box."""
        limits = self.image_sizes[self.image_inds]
        return (self.corners[:, :2] < -1).any(1) | (self.corners[:, 2:] > limits + 1).any(1)

    @cached_property
    def trained(self) -> np.ndarray:
        """``(G,)`` boolean: mmdet trains on the box as an object."""
        return ~(self.ignored | self.crowd | self.thin | self.outside)

    def describe(self, selected: np.ndarray) -> Iterator[str]:
        """Describe the boxes where ``selected`` ``(G,)`` is true."""
        for index in np.flatnonzero(selected):
            annotation = self.dataset["annotations"][index]
            name = self.dataset["images"][self.image_inds[index]]["file_name"]
            box = quote(annotation["bbox"])
            yield f"annotation {quote(annotation['id'])} ({quote(name)}): bbox {box}"

    @cached_property
    def _boxes(self) -> np.ndarray:
        boxes = [annotation["bbox"] for annotation in self.dataset["annotations"]]
        return np.array(boxes, dtype=float).reshape(-1, 4)

    def _indices(self, section: str, field: str) -> np.ndarray:
        positions = {record["id"]: index for index, record in enumerate(self.dataset[section])}
        indices = [positions[annotation[field]] for annotation in self.dataset["annotations"]]
        return np.array(indices, dtype=np.int64)

    def _flags(self, field: str) -> np.ndarray:
        flags = [bool(annotation.get(field, False)) for annotation in self.dataset["annotations"]]
        return np.array(flags, dtype=bool)
