"""Detect the objects of images and match those of the same class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmdet.utils import get_test_pipeline_cfg
from mmengine.config import Config
from torch import Tensor, nn

from mmdet_discobox.checkpoints import build_detector

from .image_describer import Image, ImageDescriber
from .matchers import Matcher, build_matcher
from .object_features import FeatureLevel
from .object_matches import DescribedObjects, ObjectMatch, match_objects


@dataclass(frozen=True, eq=False)
class ImageObjects:
    """The n objects of an image, on the CPU.

    Attributes:
        boxes: ``(n, 4)`` ``(x1, y1, x2, y2)`` in pixels of the image.
        labels: ``(n,)`` classes.
        scores: ``(n,)`` in [0, 1]; 1 for given boxes.
        masks: ``(n, H, W)`` boolean in pixels of the image.
    """

    boxes: Tensor
    labels: Tensor
    scores: Tensor
    masks: Tensor

    def __len__(self) -> int:
        return len(self.boxes)


@dataclass(frozen=True, eq=False)
class MatchedImages:
    """The result of :class:`CorrespondenceInferencer`.

    Attributes:
        objects: the objects of each image.
        matches: one record per pair of objects of a class; the earlier object is the source.
    """

    objects: tuple[ImageObjects, ...]
    matches: tuple[ObjectMatch, ...]


class CorrespondenceInferencer:
    """Detect the objects of images and match those of the same class (Fig. 1).

    The network runs once per image, and all pairs are solved in batches. By default, the solver of
    the structured teacher matches stride-16 features of the backbone, which measures best on
    photographs with ImageNet weights.

    Args:
        model: see :func:`build_detector`, also for the next two. Any detector of mmdet is possible;
            without masks, full boxes are matched.
        weights: checkpoint.
        device: by default the GPU if there is one.
        features: part of the detector (``'backbone'`` or ``'neck'``), and the index of its output;
            0 is the finest.
        size: cells S along each side of the grid over a box. The cost of a pair is of order S^4.
        matcher: name of a matcher, or the result of :func:`build_matcher`.
        score_thr: detections of lower scores are dropped.
        image_scale: ``(width, height)`` for the test pipeline's ``Resize``; None keeps its own.

    Raises:
        ValueError: if the matcher is unknown, ``size`` is below 1, or for the reasons of
            :func:`build_detector`.
    """

    def __init__(
        self,
        model: str | Path | Config | nn.Module,
        weights: str | Path | None = None,
        device: str | None = None,
        *,
        features: FeatureLevel = ("backbone", 2),
        size: int = 20,
        matcher: str | Matcher = "icm",
        score_thr: float = 0.3,
        image_scale: tuple[int, int] | None = None,
    ) -> None:
        self.model = build_detector(model, weights, device)
        self.matcher = build_matcher(matcher) if isinstance(matcher, str) else matcher
        self.describe = ImageDescriber(
            self.model,
            get_test_pipeline_cfg(self.model.cfg),
            features=features,
            size=size,
            score_thr=score_thr,
            image_scale=image_scale,
        )

    def __call__(
        self,
        images: Sequence[Image],
        *,
        boxes: Sequence[Any] | None = None,
        labels: Sequence[Any] | None = None,
        across_images: bool = False,
    ) -> MatchedImages:
        """Match the objects of one or more images.

        Args:
            images: paths, or ``(H, W, 3)`` uint8 BGR arrays.
            boxes: for each image ``(n, 4)`` ``(x1, y1, x2, y2)`` in its pixels; None detects the
                objects of an image.
            labels: for each image the ``(n,)`` classes of its boxes; None for boxes of one class,
                which may be unknown to the model.
            across_images: whether to match only objects of different images.

        Raises:
            FileNotFoundError: if an image does not exist.
            TypeError: if ``images`` is a single image.
            ValueError: if boxes or labels do not fit the images.
        """
        if isinstance(images, (str, Path)) or getattr(images, "ndim", 4) == 3:
            raise TypeError("Expected a list of images, but got a single one: put it into a list.")
        given = _per_image(images, boxes, "boxes"), _per_image(images, labels, "labels")
        found = [self.describe(*args) for args in zip(images, *given, strict=True)]
        described = [objects for objects, _ in found]
        pairs = _same_class_pairs(described, across_images=across_images)
        return MatchedImages(
            objects=tuple(
                ImageObjects(*(x.cpu() for x in (o.boxes, o.labels, o.scores, masks)))
                for o, masks in found
            ),
            matches=tuple(match_objects(described, pairs, self.matcher)),
        )


def _per_image(images: Sequence[Image], given: Sequence[Any] | None, name: str) -> Sequence[Any]:
    if given is None:
        return [None] * len(images)
    if len(given) != len(images):
        raise ValueError(
            f"Expected `{name}` for each of the {len(images)} images, but got {len(given)}."
        )
    return given


def _same_class_pairs(images: list[DescribedObjects], *, across_images: bool) -> Tensor:
    """Return ``(P, 2)`` indices into the objects of all images, the earlier object first."""
    if not images:
        return torch.zeros(0, 2, dtype=torch.long)
    labels = torch.cat([objects.labels for objects in images]).cpu()
    image_inds = torch.arange(len(images)).repeat_interleave(torch.tensor([*map(len, images)]))
    selected = (labels[:, None] == labels).triu(1)
    if across_images:
        selected &= image_inds[:, None] != image_inds
    return selected.nonzero()
