"""Cache of described images, so that the network runs once on an image in many pairs."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from typing import Any

from .image_describer import ImageDescriber
from .object_matches import DescribedObjects

#: default limit in bytes, on the model's device: 2,600 objects with stride-16 features of a
#: ResNet-50 on a grid of 20, which take 1.6 MB each
CACHE_BYTES = 4 * 1024**3


class DescriptorCache:
    """Cache the objects of images, and drop the least recently used.

    Args:
        describe: describer of the objects of an image.
        limit: bytes to keep at most; the last image is kept whatever its size.
    """

    def __init__(self, describe: ImageDescriber, limit: int = CACHE_BYTES) -> None:
        self._describe = describe
        self._limit = limit
        self._images: OrderedDict[Hashable, DescribedObjects] = OrderedDict()
        self.num_bytes = 0

    def __call__(
        self, path: str, boxes: tuple[Sequence[float], ...] | None, labels: tuple[Any, ...] | None
    ) -> DescribedObjects:
        """Return the objects in the given boxes of an image; None detects them."""
        key = (path, boxes, labels)
        if key in self._images:
            self._images.move_to_end(key)
            return self._images[key]
        objects = self._images[key] = self._describe(path, boxes, labels)[0]
        self.num_bytes += objects.num_bytes
        while self.num_bytes > self._limit and len(self._images) > 1:
            self.num_bytes -= self._images.popitem(last=False)[1].num_bytes
        return objects
