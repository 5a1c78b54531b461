"""Tasks of the correspondence benchmarks: transfer key points, match objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmdet.registry import TASK_UTILS
from torch import Tensor

from mmdet_discobox.datasets.pairs import KeypointImage, KeypointPair

from .descriptor_cache import DescriptorCache
from .image_describer import ImageDescriber
from .matchers import Matcher
from .object_matches import DescribedObjects, ObjectMatch, match_objects

#: sources of the boxes
BOXES = ("annotated", "detected", "image")
#: source points of a pair of objects
SPREADS = ("box", "mask")
#: predictions along a side of a box; the finest threshold is 0.75 % of the diagonal, so denser
#: points have no effect
_DENSITY = 84
#: offset from coordinates of the data sets (0 is the centre of the first pixel) to those of boxes
_HALF = 0.5


class CorrespondenceTask:
    """Base of the tasks: boxes, classes, and a :class:`.DescriptorCache` of the images.

    Args:
        describe: describer of the objects of an image.
        classes: names of the detector's classes.
        boxes: ``'annotated'``, ``'detected'``, or the whole ``'image'``.
        cache_bytes: memory of the host for the cache of described images.

    Raises:
        ValueError: for another value of ``boxes``.
    """

    def __init__(
        self,
        describe: ImageDescriber,
        *,
        classes: Sequence[str] = (),
        boxes: str = "annotated",
        cache_bytes: int = 2**30,
    ) -> None:
        if boxes not in BOXES:
            raise ValueError(f"Expected `boxes` to be one of {BOXES}, but got {boxes!r}.")
        self.classes = list(classes)
        self.boxes = boxes
        self._cache = DescriptorCache(describe, cache_bytes)

    def forget_images(self) -> None:
        """Describe all images anew, because the network has other weights."""
        self._cache.clear()

    def _describe(self, path: Any, boxes: Any = None, labels: Any = None) -> DescribedObjects:
        """Return the objects in boxes of an image; None detects them."""
        if boxes is None:
            return self._cache(str(path), None, None)
        rows = tuple(map(tuple, np.asarray(boxes, dtype=float).tolist()))
        return self._cache(str(path), rows, tuple(labels))

    def _label(self, class_name: str) -> int:
        """Return the detector's label of a class, -1 for an unknown class."""
        return self.classes.index(class_name) if class_name in self.classes else -1


@TASK_UTILS.register_module()
class KeypointTransfer(CorrespondenceTask):
    """Transfer the key points of pairs, for ``PCKMetric``.

    Of several detections of the class, the one with the highest score is used. The box is the whole
    image for data sets without boxes, and for images without a detection of the class. ``flip`` of
    a pair is ignored.

    Args:
        *args: arguments of the parent.
        compared_in: ``'target'``, or ``'source'`` for protocols that transfer the points back.
        **kwargs: keyword arguments of the parent.

    Raises:
        ValueError: for another value of ``boxes`` or ``compared_in``.
    """

    def __init__(self, *args: Any, compared_in: str = "target", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if compared_in not in ("source", "target"):
            raise ValueError(
                f"Expected `compared_in` to be 'source' or 'target', but got {compared_in!r}."
            )
        self.compared_in = compared_in

    def __call__(self, pair: KeypointPair, matcher: Matcher) -> dict[str, Any]:
        """Transfer the points of a pair.

        Args:
            pair: the pair.
            matcher: see :func:`.build_matcher`.

        Returns:
            ``pair.to_sample()`` with ``predicted_points`` ``(K, 2)``, NaN for invisible points, and
            ``predicted_in``, the image ``compared_in``.
        """
        sides = [pair.source, pair.target]
        if self.compared_in == "source":
            sides.reverse()
        objects = [self._object(side, pair.class_name) for side in sides]
        (match,) = match_objects(objects, torch.tensor([[0, 1]]), matcher)
        visible = pair.visible
        moved = np.full_like(sides[0].points, np.nan)
        if visible.any():
            points = torch.from_numpy(sides[0].points[visible] + _HALF)
            moved[visible] = match.transfer(points)[0].numpy() - _HALF
        predicted = {"predicted_points": moved, "predicted_in": self.compared_in}
        return {**pair.to_sample(), **predicted}

    def _object(self, side: KeypointImage, class_name: str) -> DescribedObjects:
        if self.boxes == "annotated" and side.box is not None:
            return self._describe(side.path, side.box[None], [self._label(class_name)])
        if self.boxes == "detected":
            found = self._describe(side.path)
            found = found[found.labels == self._label(class_name)]
            if len(found):
                return found[found.scores.argmax()[None]]
        return self._describe(side.path, [[0, 0, *side.size]], [-1])


@TASK_UTILS.register_module()
class MultiObjectMatching(CorrespondenceTask):
    """Match the objects of two images, for ``MultiObjectCorrespondenceMetric``.

    Args:
        *args: arguments of the parent.
        spread: source points: a raster on the whole ``'box'`` of the source, or on its ``'mask'``
            alone. With ``'mask'``, key points outside the predicted mask, often those at the ends
            of limbs, count as false negatives. The metric ignores predictions near no key point.
        **kwargs: keyword arguments of the parent; ``boxes`` is ``'annotated'`` or ``'detected'``.

    Raises:
        ValueError: for another value of ``boxes`` or ``spread``.
    """

    def __init__(self, *args: Any, spread: str = "box", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if spread not in SPREADS:
            raise ValueError(f"Expected `spread` to be one of {SPREADS}, but got {spread!r}.")
        self.spread = spread
        if self.boxes == "image":
            raise ValueError(
                "Expected `boxes` to be 'annotated' or 'detected', but got 'image': there may be "
                "several objects in an image."
            )

    def __call__(self, sample: Mapping[str, Any], matcher: Matcher) -> dict[str, Any]:
        """Match the objects of an image pair.

        Args:
            sample: item of an ``ObjectPairDataset``.
            matcher: see :func:`.build_matcher`.

        Returns:
            The sample with ``predicted_pairs``: all pairs of detections of a class, or the scored
            pairs of annotated objects.

        Raises:
            ValueError: if boxes are detected, and the detector has none of the classes.
        """
        (sources, source_labels), (targets, target_labels) = (
            self._objects(sample[side], list(sample["classes"])) for side in ("source", "target")
        )
        if self.boxes == "annotated":
            pairs = torch.as_tensor(sample["object_pairs"], dtype=torch.long)
        else:
            pairs = (source_labels[:, None] == target_labels).nonzero()
        matches = match_objects(
            [sources, targets], pairs + torch.tensor([0, len(sources)]), matcher
        )
        predictions = [
            _prediction(match, self._mask(sources, match), int(source_labels[match.source[1]]))
            for match in matches
        ]
        if self.boxes == "annotated":  # the matched boxes are clipped to the image
            for prediction, (source, target) in zip(predictions, pairs.tolist(), strict=True):
                prediction["source_box"] = sample["source"]["boxes"][source]
                prediction["target_box"] = sample["target"]["boxes"][target]
        return {**sample, "predicted_pairs": predictions}

    def _mask(self, sources: DescribedObjects, match: ObjectMatch) -> Tensor:
        mask = sources.masks[match.source[1]]
        return mask if self.spread == "mask" else torch.ones_like(mask)

    def _objects(
        self, side: Mapping[str, Any], classes: list[str]
    ) -> tuple[DescribedObjects, Tensor]:
        """Return the objects of an image and their labels in the data set."""
        if self.boxes == "annotated":
            labels = torch.as_tensor(side["labels"], dtype=torch.long)
            model_labels = [self._label(classes[label]) for label in labels.tolist()]
            return self._describe(side["image"], side["boxes"], model_labels), labels
        found = self._describe(side["image"])
        labels = self._labels_in(classes)[found.labels.cpu()]
        return found[(labels >= 0).to(found.labels.device)], labels[labels >= 0]

    def _labels_in(self, classes: list[str]) -> Tensor:
        """Return the label of each detector class in a data set, -1 for classes not in it."""
        if not set(self.classes) & set(classes):
            raise ValueError(
                f"Expected a detector of some of {classes}, but its classes are {self.classes}. "
                "Use boxes='annotated'."
            )
        return torch.tensor([classes.index(c) if c in classes else -1 for c in self.classes])


def _prediction(match: ObjectMatch, mask: Tensor, label: int) -> dict[str, Any]:
    """Predict the correspondences of a dense raster of points on a mask in the source box."""
    points = _raster_points(match.source_box, mask.cpu())
    matched, _ = match.transfer(points)
    return {
        "source_box": match.source_box.numpy(),
        "target_box": match.target_box.numpy(),
        "label": label,
        "correspondences": torch.cat([points, matched], 1).numpy() - _HALF,
        "score": match.confidence,
    }


def _raster_points(box: Tensor, mask: Tensor) -> Tensor:
    """Return the ``(n, 2)`` points of the raster that lie in the foreground."""
    fine = F.interpolate(mask[None, None].float(), size=(_DENSITY, _DENSITY), mode="bilinear")[0, 0]
    rows, columns = (fine > 0.5).nonzero().unbind(1)
    low, high = box.view(2, 2)
    return low + (torch.stack([columns, rows], 1) + 0.5) / _DENSITY * (high - low)
