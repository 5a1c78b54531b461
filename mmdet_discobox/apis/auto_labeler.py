"""Boxes in, masks out: one mask for every box of a picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmdet_discobox.functional import expand_boxes
from mmdet_discobox.models.teachers import StructuredTeacher, box_windows, paste_window
from mmdet_discobox.structures import BoxObjects

from .boxed_picture import BoxedPicture, BoxMask
from .detector_files import load_detector
from .fine_teacher import FineTeacher
from .network_start import NetworkStart, Seen, Start


class AutoLabeler:
    """Turn boxes into masks with a trained detector, or with colours alone.

    A box's coarse mask comes from the detector's own kernels (SOLOv2) or prototypes (YOLACT) at
    the cells or anchors that the box would train; the structured teacher refines it against the
    picture in its full resolution. Without a detector it starts from the ellipse in the box: that
    is a guess about a shape that nobody has seen, and its masks are worse. ::

        labeler = AutoLabeler.from_files("config.py", "epoch_12.pth")
        picture = BoxedPicture(image, boxes, ["person", "dog"])
        masks = labeler([picture])[0]

    Args:
        model: a DiscoBox detector on its device; None for colours alone.
        transforms: the transforms of its test pipeline between loading and packing.
        classes: names of its classes. Boxes of other classes are labelled from colours alone: a
            network that has never seen a class does worse than none.
        device: where to compute without a model; a model stays on its own.
        crop_size: cells along each side of the finer grid over an object: the detail of the masks.
        max_objects: objects computed at once, a bound of the memory.
    """

    def __init__(
        self,
        model: Any = None,
        *,
        transforms: Sequence[Any] = (),
        classes: Sequence[str] = (),
        device: str | torch.device = "cpu",
        crop_size: int = 128,
        max_objects: int = 64,
    ) -> None:
        if model is not None and not classes:
            raise ValueError("Expected the names of the model's `classes` but got none.")
        self.start = None if model is None else NetworkStart(model, transforms)
        self.device = torch.device(device) if model is None else next(model.parameters()).device
        self.labels = {name: index for index, name in enumerate(classes)}
        self.max_objects = max_objects
        own = None if model is None else model.structured_teacher
        self.teacher = FineTeacher(StructuredTeacher() if own is None else own, crop_size)

    @classmethod
    def from_files(
        cls, config: str | Path, checkpoint: str | Path, *, device: str | None = None, **kwargs: Any
    ) -> AutoLabeler:
        """Make one of the files of a training.

        Args:
            config: its config.
            checkpoint: its weights.
            device: by default the GPU if there is one.
            **kwargs: ``crop_size`` and ``max_objects``.

        Raises:
            FileNotFoundError: if a file is missing.
            ValueError: if it is not of a DiscoBox detector, or the two do not fit each other.
        """
        detector = load_detector(config, checkpoint, device=device)
        return cls(
            detector.model, transforms=detector.transforms, classes=detector.classes, **kwargs
        )

    def __call__(self, pictures: Sequence[BoxedPicture]) -> list[list[BoxMask]]:
        """Label the boxes of some pictures.

        Args:
            pictures: the backbone sees them at once where they have one size.

        Returns:
            For each picture exactly one mask for each box, never empty, and without a pixel
            outside the box (pixels belong to the box if their centre does; a box that holds no
            centre has the pixel or line in its middle).
        """
        seen = [None] * len(pictures) if self.start is None else self.start.see(pictures)
        return [list(self._label(*both)) for both in zip(pictures, seen, strict=True)]

    @torch.no_grad()
    def _label(self, picture: BoxedPicture, seen: Seen | None) -> Iterator[BoxMask]:
        image = torch.from_numpy(np.ascontiguousarray(picture.image[..., ::-1]))
        rgb = image.to(self.device).permute(2, 0, 1)[None].float()
        known = [name in self.labels for name in picture.classes]
        for chosen, is_known in _chunks(known, self.max_objects):
            part = BoxedPicture(
                picture.image, picture.boxes[chosen], [picture.classes[i] for i in chosen],
                picture.image_id,
            )  # fmt: skip
            labels = [self.labels.get(name, 0) for name in part.classes]
            objects = _to(part.objects(labels), self.device)
            yield from self._masks(objects, seen if is_known else None, rgb)

    def _masks(self, objects: BoxObjects, seen: Seen | None, rgb: Tensor) -> Iterator[BoxMask]:
        regions = expand_boxes(objects.boxes, self.teacher.margin)
        start = self._start(objects, seen, regions)
        fine = self.teacher(start, objects, rgb)
        quality = fine.quality.tolist()
        predicted = start.predicted.tolist()
        pseudo, size = fine.pseudo, (rgb.shape[-2], rgb.shape[-1])
        for index, window in enumerate(box_windows(objects.boxes, size)):
            mask = paste_window(pseudo.masks[index], pseudo.regions[index], window)
            yield BoxMask(np.asarray(mask.cpu()), window[:2], quality[index], predicted[index])

    def _start(self, objects: BoxObjects, seen: Seen | None, regions: Tensor) -> Start:
        size = self.teacher.crop_size
        ellipses = ellipse_logits(objects.boxes, regions, size)
        if self.start is None or seen is None:
            return Start(ellipses, torch.zeros_like(objects.labels, dtype=torch.bool))
        start = self.start(seen, objects, regions, size)
        coarse = torch.where(start.predicted[:, None, None], start.coarse, ellipses)
        return Start(coarse, start.predicted, start.features)


def ellipse_logits(boxes: Tensor, regions: Tensor, size: int) -> Tensor:
    """Log-odds that a box alone gives its pixels: 4 in its middle, 0 on the ellipse in it.

    Args:
        boxes: ``(G, 4)`` ``(x1, y1, x2, y2)``.
        regions: ``(G, 4)`` what the grids lie over.
        size: S.

    Returns:
        ``(G, S, S)``.
    """
    steps = (torch.arange(size, device=boxes.device) + 0.5) / size  # (S,)
    half = (boxes[:, 2:] - boxes[:, :2]).clamp_min(1e-6) / 2
    middle = (boxes[:, 2:] + boxes[:, :2]) / 2
    sides = regions[:, 2:] - regions[:, :2]
    places = regions[:, None, :2] + steps[:, None] * sides[:, None]  # (G, S, 2)
    squares = ((places - middle[:, None]) / half[:, None]) ** 2
    return 4 * (1 - squares[:, None, :, 0] - squares[:, :, None, 1])


def _chunks(known: Sequence[bool], limit: int) -> Iterator[tuple[list[int], bool]]:
    """Neighbours of at most ``limit`` boxes whose classes are all known, or all not."""
    first = 0
    for index in range(1, len(known) + 1):
        if index == len(known) or known[index] != known[first] or index - first == limit:
            yield list(range(first, index)), known[first]
            first = index


def _to(objects: BoxObjects, device: torch.device) -> BoxObjects:
    return BoxObjects(**{name: value.to(device) for name, value in vars(objects).items()})
