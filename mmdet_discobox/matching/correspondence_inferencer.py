"""Objects of images and the dense correspondence of those of a class, from a checkpoint."""

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
    """What :class:`CorrespondenceInferencer` returns.

    Attributes:
        objects: the objects of each image.
        matches: a record for each pair of objects of a class, the earlier one as the source.
    """

    objects: tuple[ImageObjects, ...]
    matches: tuple[ObjectMatch, ...]


class CorrespondenceInferencer:
    """Detect the objects of images and match those of a class (Fig. 1).

    The network runs once on each image, and all pairs are solved in batches. At the default
    settings the structured teacher's solver matches stride-16 features of the backbone, which
    measures best on real photographs with ImageNet weights.

    Args:
        model: as of :func:`build_detector`, as are the next two. Any detector of mmdet will do; one
            without masks matches full boxes.
        weights: checkpoint.
        device: default is the GPU if there is one.
        features: part of the detector (``'backbone'`` or ``'neck'``) and which of its outputs, 0
            being the finest.
        size: S, cells along a side of the grid over a box. The cost of a pair grows with its
            fourth power.
        matcher: name of a way to match, see :func:`build_matcher`, or what that returns.
        score_thr: detections below are left out.
        image_scale: ``(width, height)`` for the test pipeline's ``Resize``; None leaves its own.

    Raises:
        ValueError: if no such matcher exists; for the model see :func:`build_detector`.
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
        """Match the objects of some images.

        Args:
            images: paths, or ``(H, W, 3)`` uint8 BGR; usually two, but one with several objects
                works as well.
            boxes: for each image ``(n, 4)`` ``(x1, y1, x2, y2)`` in its pixels, to be taken instead
                of detections; None for an image that is to be detected in.
            labels: for each image the ``(n,)`` classes of these boxes; None where all are of one
                class that the model need not know.
            across_images: leave out pairs of objects of a single image.

        Raises:
            FileNotFoundError: if an image is not there.
            TypeError: if ``images`` is a single one.
            ValueError: if boxes or labels do not fit the images.
        """
        if isinstance(images, (str, Path)) or getattr(images, "ndim", 4) == 3:
            raise TypeError("Expected a list of images, but got a single one: put it into a list.")
        given = _for_each(images, boxes, "boxes"), _for_each(images, labels, "labels")
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


def _for_each(images: Sequence[Image], given: Sequence[Any] | None, name: str) -> Sequence[Any]:
    if given is None:
        return [None] * len(images)
    if len(given) != len(images):
        raise ValueError(
            f"Expected `{name}` for each of the {len(images)} images, but got {len(given)}."
        )
    return given


def _same_class_pairs(images: list[DescribedObjects], *, across_images: bool) -> Tensor:
    """``(P, 2)`` places in the objects of all images together, the earlier one first."""
    if not images:
        return torch.zeros(0, 2, dtype=torch.long)
    labels = torch.cat([objects.labels for objects in images]).cpu()
    homes = torch.arange(len(images)).repeat_interleave(torch.tensor([len(o) for o in images]))
    wanted = (labels[:, None] == labels).triu(1)
    if across_images:
        wanted &= homes[:, None] != homes
    return wanted.nonzero()
