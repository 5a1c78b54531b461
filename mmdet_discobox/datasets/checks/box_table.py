"""The boxes of a COCO json as arrays, for checks of all boxes at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mmdet_discobox.datasets.coco_records import quote
from mmdet_discobox.utils.types import Json


@dataclass(frozen=True)
class BoxTable:
    """Boxes of a json that :func:`find_problems` found nothing wrong with. ``G`` is their number.

    Attributes:
        dataset: the json.
    """

    dataset: Json

    @cached_property
    def corners(self) -> np.ndarray:
        """``(G, 4)`` float64 ``(x1, y1, x2, y2)`` in pixels, not clipped."""
        boxes = np.array([a["bbox"] for a in self.dataset["annotations"]], dtype=float)
        boxes = boxes.reshape(-1, 4)
        return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1)

    @cached_property
    def sides(self) -> np.ndarray:
        """``(G, 2)`` width and height as the json has them."""
        boxes = np.array([a["bbox"] for a in self.dataset["annotations"]], dtype=float)
        return boxes.reshape(-1, 4)[:, 2:]

    @cached_property
    def image_inds(self) -> np.ndarray:
        """``(G,)`` position of the box's image in ``images``."""
        positions = {image["id"]: index for index, image in enumerate(self.dataset["images"])}
        return _integers(positions[a["image_id"]] for a in self.dataset["annotations"])

    @cached_property
    def class_inds(self) -> np.ndarray:
        """``(G,)`` position of the box's class in ``categories``."""
        positions = {c["id"]: index for index, c in enumerate(self.dataset["categories"])}
        return _integers(positions[a["category_id"]] for a in self.dataset["annotations"])

    @cached_property
    def image_sizes(self) -> np.ndarray:
        """``(images, 2)`` width and height as the json has them."""
        sizes = [(image["width"], image["height"]) for image in self.dataset["images"]]
        return np.array(sizes, dtype=float).reshape(-1, 2)

    @cached_property
    def ignored(self) -> np.ndarray:
        """``(G,)`` boolean: ``ignore`` is set, mmdet leaves the box out."""
        return self._flags("ignore")

    @cached_property
    def crowd(self) -> np.ndarray:
        """``(G,)`` boolean: ``iscrowd`` is set, the box is no object."""
        return self._flags("iscrowd")

    @cached_property
    def thin(self) -> np.ndarray:
        """``(G,)`` boolean: thinner than a pixel, mmdet drops the box."""
        return (self.sides < 1).any(1) & ~self.ignored

    @cached_property
    def outside(self) -> np.ndarray:
        """``(G,)`` boolean: not thin, but without a point in its image; mmdet drops the box."""
        limits = self.image_sizes[self.image_inds]
        beyond = (self.corners[:, :2] >= limits) | (self.corners[:, 2:] <= 0)
        return beyond.any(1) & ~self.thin & ~self.ignored

    @cached_property
    def trained(self) -> np.ndarray:
        """``(G,)`` boolean: boxes that a training uses as objects."""
        return ~(self.ignored | self.crowd | self.thin | self.outside)

    def places(self, chosen: np.ndarray) -> Iterator[str]:
        """Describe the chosen boxes, one after the other.

        Args:
            chosen: ``(G,)`` boolean.
        """
        for index in np.flatnonzero(chosen):
            annotation = self.dataset["annotations"][index]
            name = self.dataset["images"][self.image_inds[index]]["file_name"]
            box = quote(annotation["bbox"])
            yield f"annotation {quote(annotation['id'])} ({quote(name)}): bbox {box}"

    def _flags(self, field: str) -> np.ndarray:
        values = [bool(a.get(field, False)) for a in self.dataset["annotations"]]
        return np.array(values, dtype=bool)


def _integers(values: Iterator[int]) -> np.ndarray:
    return np.array(list(values), dtype=np.int64)
