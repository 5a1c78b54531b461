"""Describe the objects of an image: boxes, masks, and the features of their cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmcv.transforms import Compose
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import Tensor

from mmdet_discobox.functional import box_masks, check_ranges, masks_to_boxes
from mmdet_discobox.models.teachers import box_windows, crop_masks, paste_window
from mmdet_discobox.structures import scale_factor
from mmdet_discobox.utils.types import type_name

from .object_features import FeatureLevel, captured_maps, object_features
from .object_matches import DescribedObjects

Image = str | Path | np.ndarray


@dataclass(frozen=True)
class _NetworkInput:
    """One preprocessed image.

    Attributes:
        inputs: ``(1, 3, H, W)`` input of the network.
        sample: meta information of the image.
        name: path of the image in quotes for errors, empty for an array.
    """

    inputs: Tensor
    sample: DetDataSample
    name: str

    @property
    def scale(self) -> Tensor:
        """``(4,)`` pixels of the network's input per pixel of the image, for x, y, x, y."""
        return self.inputs.new_tensor(scale_factor(self.sample)).repeat(2)

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the image before resizing."""
        height, width = self.sample.ori_shape[:2]
        return height, width


class ImageDescriber:
    """Describe the objects of an image, detected or in given boxes, in one forward pass.

    Args:
        model: a detector of mmdet, in evaluation mode.
        pipeline: test pipeline of its config; transforms that load annotations are dropped.
        features: part of the detector and index of its output, for the features.
        size: cells S along each side of the grid over a box.
        score_thr: detections of lower scores are dropped.
        image_scale: ``(width, height)`` for the pipeline's ``Resize``; None keeps its own.

    Raises:
        ValueError: if ``size`` is below 1.
    """

    def __init__(
        self,
        model: Any,
        pipeline: Sequence[Any],
        *,
        features: FeatureLevel = ("backbone", 2),
        size: int = 20,
        score_thr: float = 0.3,
        image_scale: tuple[int, int] | None = None,
    ) -> None:
        check_ranges(size=(size, "[1, inf)"))  # RoIAlign divides by it, which ends the process
        self.model = model
        self.level = features
        self.size = size
        self.score_thr = score_thr
        first, *rest = _without_annotations(pipeline, image_scale)
        self._load_file = Compose([first])
        self._load_array = Compose([dict(type="mmdet.LoadImageFromNDArray")])
        self._transform = Compose(rest)

    @torch.no_grad()
    def __call__(
        self, image: Image, boxes: Any = None, labels: Any = None
    ) -> tuple[DescribedObjects, Tensor]:
        """Describe the objects of one image.

        Args:
            image: path, or ``(H, W, 3)`` uint8 BGR.
            boxes: ``(n, 4)`` ``(x1, y1, x2, y2)`` in pixels of the image, a tensor, an array or
                lists of numbers; None detects the objects.
            labels: ``(n,)`` classes of the boxes; None for boxes of one class that is unknown to
                the model.

        Returns:
            The objects, on the model's device, and their masks ``(n, H, W)`` boolean in pixels of
            the image. The mask of a given box is that of the structured teacher, if the model has
            one, it is valid and its class is known; otherwise it is the full box.

        Raises:
            FileNotFoundError: if the image does not exist.
            ValueError: if the image or the boxes are invalid; the error names the image.
        """
        source = self._load(image)
        with captured_maps(self.model, self.level[0]) as maps:
            if boxes is None:
                found, masks = self._detect(source)
            else:
                found, masks = self._accept(source, *_checked(boxes, labels, source))
            if not maps:  # the student has not run
                self.model.extract_feat(source.inputs)
        features = object_features(
            maps,
            found.bboxes * source.scale,
            level=self.level,
            size=self.size,
            input_size=(source.inputs.shape[-2], source.inputs.shape[-1]),
        )
        shares = crop_masks(masks, found.bboxes, self.size)
        return DescribedObjects(found.bboxes, found.labels, found.scores, features, shares), masks

    def _load(self, image: Image) -> _NetworkInput:
        if isinstance(image, np.ndarray):
            if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
                raise ValueError(
                    f"Expected an image of shape (H, W, 3), uint8 BGR, but got {image.shape}, "
                    f"{image.dtype}."
                )
            name, data = "", self._load_array(dict(img=image))
        else:
            name, data = f" '{image}'", self._read(image)
        data = self._transform(data)
        batch = dict(inputs=[data["inputs"]], data_samples=[data["data_samples"]])
        batch = self.model.data_preprocessor(batch, False)
        return _NetworkInput(batch["inputs"], batch["data_samples"][0], name)

    def _read(self, path: str | Path) -> Any:
        if not Path(path).is_file():
            raise FileNotFoundError(f"Expected an image at '{path}', but there is no file.")
        try:
            return self._load_file(dict(img_path=str(path)))
        except (AssertionError, cv2.error) as error:  # mmcv's loader cannot decode the file
            raise ValueError(
                f"Expected an image at '{path}', but the file cannot be decoded. Fix or remove it."
            ) from error

    def _detect(self, source: _NetworkInput) -> tuple[InstanceData, Tensor]:
        """Return the detections and their masks; full boxes for a detector without masks."""
        (result,) = self.model.predict(source.inputs, [source.sample], rescale=True)
        found = result.pred_instances
        found = found[found.scores >= self.score_thr]
        if "masks" not in found:
            found = found[_have_area(found.bboxes)]
            return found, box_masks(found.bboxes, source.image_size)
        masks = torch.as_tensor(found.masks, device=found.scores.device).bool()
        # the boxes of mmdet's SOLOv2 are zeros
        given = _have_area(found.bboxes)[:, None]
        found.bboxes = torch.where(given, found.bboxes, masks_to_boxes(masks))
        valid = _have_area(found.bboxes)
        return found[valid], masks[valid]

    def _accept(
        self, source: _NetworkInput, boxes: Tensor, labels: Tensor
    ) -> tuple[InstanceData, Tensor]:
        """Return the given boxes with scores of 1, and their masks."""
        masks = box_masks(boxes, source.image_size)
        if getattr(self.model, "structured_teacher", None) is not None:
            known = self._known_classes(labels).nonzero()[:, 0]
            if len(known):
                self._refine(source, boxes[known], labels[known], masks=masks, rows=known)
        return InstanceData(bboxes=boxes, labels=labels, scores=boxes.new_ones(len(boxes))), masks

    def _known_classes(self, labels: Tensor) -> Tensor:
        """Check which classes the model knows; a box labeller without classes needs none."""
        classes = self.model.num_classes
        if classes is None:
            return torch.ones_like(labels, dtype=torch.bool)
        return (labels >= 0) & (labels < classes)

    def _refine(
        self, source: _NetworkInput, boxes: Tensor, labels: Tensor, *, masks: Tensor, rows: Tensor
    ) -> None:
        """Replace rows of the masks in place by valid masks of the structured teacher."""
        sample = source.sample.clone()
        sample.gt_instances = InstanceData(bboxes=boxes * source.scale, labels=labels)
        pseudo = self.model.teach(source.inputs, [sample])
        regions = pseudo.regions / source.scale
        windows = box_windows(boxes, source.image_size)
        for index in pseudo.valid.nonzero()[:, 0].tolist():
            x1, y1, x2, y2 = windows[index]
            mask = paste_window(pseudo.masks[index], regions[index], windows[index])
            masks[rows[index], y1:y2, x1:x2] = mask


def _have_area(boxes: Tensor) -> Tensor:
    return (boxes[:, 2:] > boxes[:, :2]).all(1)


def _as_tensor(values: Any, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Convert a tensor of any device and type, an array, or lists of numbers."""
    if not isinstance(values, Tensor):
        values = torch.tensor(np.asarray(values, dtype=np.float64))
    return values.detach().to(device, dtype)


def _checked(boxes: Any, labels: Any, source: _NetworkInput) -> tuple[Tensor, Tensor]:
    """Validate boxes and labels, and clip the boxes to the image."""
    device = source.inputs.device
    boxes = _as_tensor(boxes, torch.float32, device)
    boxes = boxes if boxes.numel() else boxes.reshape(-1, 4)  # of an image without objects
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(
            f"Expected `boxes` of an image{source.name} of shape (n, 4), but got "
            f"{tuple(boxes.shape)}."
        )
    if labels is None:
        labels = [-1] * len(boxes)
    labels = _as_tensor(labels, torch.int64, device)
    if labels.shape != boxes.shape[:1]:
        raise ValueError(
            f"Expected a label for each of the {len(boxes)} boxes of an image{source.name}, but "
            f"got {tuple(labels.shape)}."
        )
    height, width = source.image_size
    clipped = boxes.clamp_min(0).minimum(boxes.new_tensor([width, height, width, height]))
    empty = ~_have_area(clipped)  # also NaN
    if empty.any():
        first = int(empty.nonzero()[0])
        raise ValueError(
            "Expected boxes (x1, y1, x2, y2) with x1 < x2 and y1 < y2 that touch the "
            f"image{source.name} of {width} x {height} pixels, but no. {first} of its boxes (from "
            f"0) is {boxes[first].tolist()}. Fix or remove it."
        )
    return clipped, labels


def _without_annotations(
    pipeline: Sequence[Any], image_scale: tuple[int, int] | None
) -> list[dict[str, Any]]:
    """Return the transforms of a test pipeline that need no annotations."""
    steps = [dict(step) for step in pipeline if "Annotations" not in type_name(step["type"])]
    for step in steps:
        if type_name(step["type"]).endswith("Resize") and image_scale is not None:
            step["scale"] = image_scale
    steps[-1]["meta_keys"] = ("ori_shape", "img_shape", "scale_factor")
    return steps
