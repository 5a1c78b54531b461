"""Boxes in, masks out: one mask for every box of an image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmdet_discobox.checkpoints import build_detector
from mmdet_discobox.functional import constants_like, expand_boxes
from mmdet_discobox.models.networks import DiscoBoxLabeler
from mmdet_discobox.models.teachers import StructuredTeacher, box_windows, paste_window
from mmdet_discobox.structures import BoxObjects, PseudoMasks

from .boxed_image import BoxedImage, BoxMask
from .coarse_masks import CoarseMaskPredictor, CoarseMasks, ellipse_logits
from .crop_masks import CropMaskPredictor
from .detector_files import load_detector
from .fine_teacher import FineTeacher
from .shipped import WEIGHTS, shipped_config


class AutoLabeler:
    """Predict masks of boxes with a trained network, or from colours alone.

    A box labeller looks at the crop of each box. A detector predicts the coarse mask of a box by
    its own kernels (SOLOv2, CondInst, RTMDet-Ins) or prototypes (YOLACT), at the cells, points or
    anchors assigned to the box. The structured teacher refines the mask at the full resolution of
    the image. Without a network, the coarse mask is the ellipse in the box, and the masks are
    worse. ::

        labeler = AutoLabeler.shipped()  # or from_files("config.py", "epoch_12.pth")
        image = BoxedImage(pixels, boxes, ["person", "dog"])
        masks = labeler([image])[0]

    Args:
        model: a box labeller or a DiscoBox detector on its device; None for colours alone.
        transforms: the transforms of its test pipeline between loading and packing.
        classes: names of its classes; a labeller without classes needs none. Boxes of other classes
            are labelled from colours alone, which is better than a detector that was not trained
            on the class.
        device: device to compute on without a model; a model stays on its own.
        crop_size: cells along each side of the finer grid over an object: the detail of the masks.
        max_objects: objects computed at once, a bound of the memory. It does not change the masks
            of a box labeller: with a teacher that has ``competition``, all objects of an image
            compete. For the places of a detector (cells, anchors), only objects that are computed
            at once compete.
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
        own = None if model is None else model.structured_teacher
        self.teacher = FineTeacher(StructuredTeacher() if own is None else own, crop_size)
        self.predictor = None if model is None else _predictor(model, transforms)
        self.device = torch.device(device) if model is None else next(model.parameters()).device
        self.classless = isinstance(model, DiscoBoxLabeler) and model.mask_head.num_classes is None
        if not (model is None or classes or self.classless):
            raise ValueError("Expected the names of the model's `classes` but got none.")
        self.labels = {} if self.classless else {name: i for i, name in enumerate(classes)}
        self.max_objects = max_objects

    @classmethod
    def from_files(
        cls, config: str | Path, checkpoint: str | Path, *, device: str | None = None, **kwargs: Any
    ) -> AutoLabeler:
        """Build a labeler from the files of a training.

        Args:
            config: config of the training.
            checkpoint: weights of the detector.
            device: by default the GPU if there is one.
            **kwargs: ``crop_size`` and ``max_objects``.

        Raises:
            FileNotFoundError: if a file is missing.
            ValueError: if the model is no DiscoBox detector, or the weights do not fit it.
        """
        model, transforms, classes = load_detector(config, checkpoint, device)
        return cls(model, transforms=transforms, classes=classes, **kwargs)

    @classmethod
    def shipped(cls, *, device: str | None = None, **kwargs: Any) -> AutoLabeler:
        """Build the labeler that ships with the package: boxes of any class, no training.

        Args:
            device: by default the GPU if there is one.
            **kwargs: ``crop_size`` and ``max_objects``.
        """
        return cls(build_detector(shipped_config(), WEIGHTS, device), **kwargs)

    def __call__(self, images: Sequence[BoxedImage]) -> list[list[BoxMask]]:
        """Label the boxes of some images.

        Args:
            images: the images to label; images of one size make one batch of the backbone.

        Returns:
            For each image one mask per box, never empty, and without pixels whose centre is outside
            the box (the mask of a box without any pixel centre is the pixel or line in its middle).
        """
        predictor = self.predictor
        features = [None] * len(images) if predictor is None else predictor.extract(images)
        return [self._label(*both) for both in zip(images, features, strict=True)]

    def knows(self, name: str) -> bool:
        """Return whether the network predicts masks of a class."""
        return self.classless or name in self.labels

    def _numbers(self, names: Sequence[str]) -> list[int]:
        """Return the labels of known classes, or numbers that tell unknown ones apart."""
        own = {name: index for index, name in enumerate(dict.fromkeys(names))}
        return [self.labels.get(name, own[name]) for name in names]

    @torch.no_grad()
    def _label(self, image: BoxedImage, features: Any) -> list[BoxMask]:
        rgb = torch.from_numpy(np.ascontiguousarray(image.pixels[..., ::-1]))
        # contiguous once: every crop would copy the whole image
        rgb = rgb.to(self.device).permute(2, 0, 1)[None].contiguous().float()
        masks: dict[int, BoxMask] = {}
        for chosen, is_known in self._groups(image.classes):
            classes = [image.classes[i] for i in chosen]
            part = BoxedImage(image.pixels, image.boxes[chosen], classes, image.image_id)
            objects = part.objects(self._numbers(classes)).to(self.device)
            found = self._masks(objects, features, rgb, is_known)
            masks.update(zip(chosen, found, strict=True))
        return [masks[index] for index in range(len(masks))]

    def _groups(self, names: Sequence[str]) -> list[tuple[list[int], bool]]:
        """Return the indices of the boxes of known classes, and those of unknown ones."""
        known = [self.knows(name) for name in names]
        groups = [([i for i, own in enumerate(known) if own is k], k) for k in (True, False)]
        return [(chosen, is_known) for chosen, is_known in groups if chosen]

    @torch.no_grad()
    def label_tensor(
        self,
        rgb: Tensor,
        boxes: Tensor,
        classes: Sequence[str],
        *,
        scale: tuple[float, float] = (1.0, 1.0),
        size: tuple[int, int] | None = None,
    ) -> Tensor:
        """Label the boxes of an image on the device, with the masks of :meth:`__call__`.

        With a labeller without classes, boxes do not compete for pixels: detections of one object
        overlap.

        Args:
            rgb: ``(3, H, W)`` RGB in [0, 255] on the device of the labeler.
            boxes: ``(G, 4)`` in pixels of ``rgb``, clipped to it.
            classes: names of the G classes.
            scale: pixels of the masks per pixel of ``rgb`` along x and y.
            size: ``(height, width)`` of the masks, by default that of ``rgb``.

        Returns:
            ``(G, height, width)`` boolean.
        """
        height, width = size or (rgb.shape[-2], rgb.shape[-1])
        groups = self._groups(classes)
        features = self._tensor_features(rgb, boxes, classes) if any(k for _, k in groups) else None
        factors = constants_like(scale, boxes.float()).repeat(2)
        limits = constants_like((width, height), factors).repeat(2)
        masks = torch.zeros(len(boxes), height, width, dtype=torch.bool, device=rgb.device)
        for chosen, is_known in groups:
            own = [classes[i] for i in chosen]
            # without classes, each is a class of its own
            numbers = list(range(len(own))) if self.classless else self._numbers(own)
            objects = _tensor_objects(rgb, boxes[chosen], numbers)
            windows = box_windows((objects.boxes * factors).minimum(limits), (height, width))
            places = zip(chosen, windows, strict=True)
            for _start, pseudo, _quality in self._refined(objects, features, rgb[None], is_known):
                for grid, region in zip(pseudo.masks, pseudo.regions * factors, strict=True):
                    row, window = next(places)
                    x1, y1, x2, y2 = window
                    masks[row, y1:y2, x1:x2] = paste_window(grid, region, window)
        return masks

    def _tensor_features(self, rgb: Tensor, boxes: Tensor, classes: Sequence[str]) -> Any:
        """Extract the features of one image. Only a detector reads its pixels on the CPU."""
        if not isinstance(self.predictor, CoarseMaskPredictor):
            return None
        pixels = rgb.flip(0).round().clamp(0, 255).byte().permute(1, 2, 0)
        image = BoxedImage(np.asarray(pixels.cpu()), np.asarray(boxes.cpu()), classes)
        return self.predictor.extract([image])[0]

    def _refined(
        self, objects: BoxObjects, features: Any, rgb: Tensor, known: bool
    ) -> Iterator[tuple[CoarseMasks, PseudoMasks, Tensor]]:
        """Yield coarse masks, refined masks and qualities of some objects after the other."""
        size = self.max_objects
        parts = [slice(first, first + size) for first in range(0, len(objects), size)]
        starts = [self._coarse_masks(objects[part], features, rgb, known) for part in parts]
        for start, refined in zip(starts, self.teacher(starts, objects, rgb), strict=True):
            yield start, *refined

    def _masks(
        self, objects: BoxObjects, features: Any, rgb: Tensor, known: bool
    ) -> Iterator[BoxMask]:
        windows = iter(box_windows(objects.boxes, (rgb.shape[-2], rgb.shape[-1])))
        for start, pseudo, quality in self._refined(objects, features, rgb, known):
            rated = zip(quality.tolist(), start.predicted.tolist(), strict=True)
            for grid, region, rating in zip(pseudo.masks, pseudo.regions, rated, strict=True):
                window = next(windows)
                mask = paste_window(grid, region, window)
                yield BoxMask(np.asarray(mask.cpu()), window[:2], *rating)

    def _coarse_masks(
        self, objects: BoxObjects, features: Any, rgb: Tensor, known: bool
    ) -> CoarseMasks:
        size = self.teacher.crop_size
        regions = expand_boxes(objects.boxes, self.teacher.margin)
        ellipses = ellipse_logits(objects.boxes, regions, size)
        if self.predictor is None or not known:
            return CoarseMasks(ellipses, torch.zeros_like(objects.labels, dtype=torch.bool))
        found = self.predictor(features, rgb, objects, regions, size)
        coarse = torch.where(found.predicted[:, None, None], found.coarse, ellipses)
        return replace(found, coarse=coarse)


def _predictor(model: Any, transforms: Sequence[Any]) -> CoarseMaskPredictor | CropMaskPredictor:
    if isinstance(model, DiscoBoxLabeler):
        return CropMaskPredictor(model)
    return CoarseMaskPredictor(model, transforms)


def _tensor_objects(rgb: Tensor, boxes: Tensor, labels: Sequence[int]) -> BoxObjects:
    """Return the boxes of an image ``(3, H, W)`` of no data set as objects."""
    classes = torch.tensor(labels, dtype=torch.long).to(boxes.device)
    zeros = torch.zeros_like(classes)
    sizes = constants_like(rgb.shape[-2:], boxes.float())[None]
    return BoxObjects(boxes.float(), classes, zeros, image_sizes=sizes, image_ids=zeros - 1)
