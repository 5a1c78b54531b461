"""Turn an item of a benchmark into a prediction: key points transferred, objects matched."""

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

#: where boxes come from
BOXES = ("annotated", "detected", "image")
#: where the predictions of a pair of objects start
SPREADS = ("box", "mask")
#: predictions along a side of a box: the finest threshold is 0.75 % of the diagonal, and closer
#: points than that change nothing
_DENSITY = 84
#: from the data sets' coordinates, 0 in the middle of the first pixel, to those of boxes
_HALF = 0.5


class CorrespondenceTask:
    """What both tasks share: the boxes, the classes, and a memory of images.

    Args:
        describe: finds the objects of an image. Images are in many pairs, so what it finds is
            kept, see :class:`.DescriptorCache`.
        classes: names of the detector's classes.
        boxes: ``'annotated'``, ``'detected'``, or the whole ``'image'``.
        cache_bytes: memory of the host for the objects of the images that were seen last.

    Raises:
        ValueError: if boxes come from elsewhere.
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

    def _describe(self, path: Any, boxes: Any = None, labels: Any = None) -> DescribedObjects:
        """Objects of an image, in its boxes or (None) where the detector sees them."""
        if boxes is None:
            return self._cache(str(path), None, None)
        rows = tuple(map(tuple, np.asarray(boxes, dtype=float).tolist()))
        return self._cache(str(path), rows, tuple(labels))

    def _label(self, class_name: str) -> int:
        """The detector's label of a class, -1 for a class that it does not know."""
        return self.classes.index(class_name) if class_name in self.classes else -1


@TASK_UTILS.register_module()
class KeypointTransfer(CorrespondenceTask):
    """Transfer the key points of pairs, for ``PCKMetric``.

    A data set without boxes has those of the whole images, and so has an image in which no object
    of the class is detected; of several, the one with the highest score is taken. ``flip`` of a
    pair is not looked at.

    Args:
        *args: of the parent.
        compared_in: ``'target'``, or ``'source'`` for protocols that transfer the points back.
        **kwargs: of the parent.

    Raises:
        ValueError: if the points are compared elsewhere.
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
            matcher: how to match.

        Returns:
            ``pair.to_sample()`` with ``predicted_points`` ``(K, 2)``, NaN where not visible.
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
        return {**pair.to_sample(), "predicted_points": moved}

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
        *args: of the parent.
        spread: predictions start all over the source's ``'box'``, or on its ``'mask'`` alone. Paws,
            noses and ears are where masks end: on the mask, what it leaves out counts as missed,
            however well it would be matched. The metric ignores what is near no point.
        **kwargs: of the parent; boxes are ``'annotated'`` or ``'detected'``.

    Raises:
        ValueError: if boxes are to be the whole images, or ``spread`` is none of the two.
    """

    def __init__(self, *args: Any, spread: str = "box", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if spread not in SPREADS:
            raise ValueError(f"Expected `spread` to be one of {SPREADS}, but got {spread!r}.")
        self.spread = spread
        if self.boxes == "image":
            raise ValueError(
                "Expected `boxes` to be 'annotated' or 'detected', but got 'image': there are "
                "several objects in an image."
            )

    def __call__(self, sample: Mapping[str, Any], matcher: Matcher) -> dict[str, Any]:
        """Match the objects of an image pair.

        Args:
            sample: item of an ``ObjectPairDataset``.
            matcher: how to match.

        Returns:
            The sample with ``predicted_pairs``. All detections of a class are paired, of annotated
            objects the pairs that are to be scored.

        Raises:
            ValueError: if the detector knows none of the classes that it is to detect.
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
            _prediction(match, self._start(sources, match), int(source_labels[match.source[1]]))
            for match in matches
        ]
        return {**sample, "predicted_pairs": predictions}

    def _start(self, sources: DescribedObjects, match: ObjectMatch) -> Tensor:
        mask = sources.masks[match.source[1]]
        return mask if self.spread == "mask" else torch.ones_like(mask)

    def _objects(
        self, side: Mapping[str, Any], classes: list[str]
    ) -> tuple[DescribedObjects, Tensor]:
        """Objects of an image and their labels in the data set."""
        if self.boxes == "annotated":
            labels = torch.as_tensor(side["labels"], dtype=torch.long)
            ours = [self._label(classes[label]) for label in labels.tolist()]
            return self._describe(side["image"], side["boxes"], ours), labels
        found = self._describe(side["image"])
        labels = self._labels_in(classes)[found.labels.cpu()]
        return found[(labels >= 0).to(found.labels.device)], labels[labels >= 0]

    def _labels_in(self, classes: list[str]) -> Tensor:
        """Labels in a data set of the detector's classes, -1 for those it does not have."""
        if not set(self.classes) & set(classes):
            raise ValueError(
                f"Expected a detector of some of {classes}, but its classes are {self.classes}. "
                "Use boxes='annotated'."
            )
        return torch.tensor([classes.index(c) if c in classes else -1 for c in self.classes])


def _prediction(match: ObjectMatch, mask: Tensor, label: int) -> dict[str, Any]:
    """Correspondences of a dense raster of points on a mask in the source's box."""
    points = _points_on(match.source_box, mask.cpu())
    there, _ = match.transfer(points)
    return {
        "source_box": match.source_box.numpy(),
        "target_box": match.target_box.numpy(),
        "label": label,
        "correspondences": torch.cat([points, there], 1).numpy() - _HALF,
        "score": match.confidence,
    }


def _points_on(box: Tensor, mask: Tensor) -> Tensor:
    """``(n, 2)`` points of the raster whose place in the mask is foreground."""
    fine = F.interpolate(mask[None, None].float(), size=(_DENSITY, _DENSITY), mode="bilinear")[0, 0]
    rows, columns = (fine > 0.5).nonzero().unbind(1)
    low, high = box.view(2, 2)
    return low + (torch.stack([columns, rows], 1) + 0.5) / _DENSITY * (high - low)
