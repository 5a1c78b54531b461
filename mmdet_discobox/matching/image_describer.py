"""From an image to its objects: boxes, masks, and the features of their cells."""

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

from mmdet_discobox.functional import box_masks, masks_to_boxes
from mmdet_discobox.models.teachers import box_windows, crop_masks, paste_window

from .object_features import FeatureLevel, captured_maps, object_features
from .object_matches import DescribedObjects

Image = str | Path | np.ndarray


@dataclass(frozen=True)
class _Network:
    """One image as the network reads it."""

    inputs: Tensor  # (1, 3, H, W)
    sample: DetDataSample
    name: str  # for errors: the image's path in quotes, if it has one

    @property
    def scale(self) -> Tensor:
        """``(4,)`` what boxes of the image are multiplied with."""
        return self.inputs.new_tensor(self.sample.scale_factor).repeat(2)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the image as it is."""
        height, width = self.sample.ori_shape[:2]
        return height, width


class ImageDescriber:
    """Find the objects of an image, or take given boxes, in a single forward pass.

    Args:
        model: a detector of mmdet, in evaluation mode.
        pipeline: test pipeline of its config; what loads annotations is left out.
        features: part of the detector and index of its output that the features come from.
        size: S, cells along a side of the grid over a box.
        score_thr: detections below are left out.
        image_scale: ``(width, height)`` that the image is resized to, or into, instead of the
            pipeline's.
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
        self.model = model
        self.level = features
        self.size = size
        self.score_thr = score_thr
        first, *rest = _without_annotations(pipeline, image_scale)
        self._read = Compose([first])
        self._take = Compose([dict(type="mmdet.LoadImageFromNDArray")])
        self._prepare = Compose(rest)

    @torch.no_grad()
    def __call__(
        self, image: Image, boxes: Any = None, labels: Any = None
    ) -> tuple[DescribedObjects, Tensor]:
        """Describe one image.

        Args:
            image: path, or ``(H, W, 3)`` uint8 BGR.
            boxes: ``(n, 4)`` ``(x1, y1, x2, y2)`` in pixels of the image; None detects.
            labels: ``(n,)`` classes of the boxes. None means one class that the model does not
                know.

        Returns:
            The objects, on the model's device, and their masks ``(n, H, W)`` boolean in pixels of
            the image. The mask of a given box is what a structured teacher makes of it, if the
            model has one that accepts it and knows the class; else it is the full box.

        Raises:
            FileNotFoundError: if there is no such image.
            ValueError: if the image or the boxes cannot be used; it names the image.
        """
        view = self._load(image)
        with captured_maps(self.model, self.level[0]) as maps:
            if boxes is None:
                found, masks = self._detect(view)
            else:
                found, masks = self._accept(view, *_checked(boxes, labels, view))
            if not maps:  # nothing of the student has run
                self.model.extract_feat(view.inputs)
        places = found.bboxes * view.scale
        return (
            DescribedObjects(
                boxes=found.bboxes,
                labels=found.labels,
                scores=found.scores,
                features=object_features(
                    maps,
                    places,
                    level=self.level,
                    size=self.size,
                    input_size=(view.inputs.shape[-2], view.inputs.shape[-1]),
                ),
                masks=self._grids(masks, found.bboxes),
            ),
            masks,
        )

    def _load(self, image: Image) -> _Network:
        if isinstance(image, np.ndarray):
            if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
                raise ValueError(
                    f"Expected an image of shape (H, W, 3), uint8 BGR, but got {image.shape}, "
                    f"{image.dtype}."
                )
            name, data = "", self._take(dict(img=image))
        else:
            name, data = f" '{image}'", self._open(image)
        data = self._prepare(data)
        batch = dict(inputs=[data["inputs"]], data_samples=[data["data_samples"]])
        batch = self.model.data_preprocessor(batch, False)
        return _Network(batch["inputs"], batch["data_samples"][0], name)

    def _open(self, path: str | Path) -> Any:
        if not Path(path).is_file():
            raise FileNotFoundError(f"Expected an image at '{path}', but there is no file.")
        try:
            return self._read(dict(img_path=str(path)))
        except (AssertionError, cv2.error) as error:  # mmcv's loader, of what it cannot decode
            raise ValueError(
                f"Expected an image at '{path}', but the file cannot be read as one. Mend it, or "
                "leave it out."
            ) from error

    def _detect(self, view: _Network) -> tuple[InstanceData, Tensor]:
        """Detections and their masks in pixels of the image; full boxes of a plain detector."""
        (result,) = self.model.predict(view.inputs, [view.sample], rescale=True)
        found = result.pred_instances
        found = found[found.scores >= self.score_thr]
        if "masks" not in found:
            return found, box_masks(found.bboxes, view.size)
        masks = torch.as_tensor(found.masks, device=found.scores.device).bool()
        # mmdet's SOLOv2 leaves the boxes at zero
        flat = (found.bboxes[:, 2:] <= found.bboxes[:, :2]).any(1)
        found.bboxes = torch.where(flat[:, None], masks_to_boxes(masks), found.bboxes)
        real = (found.bboxes[:, 2:] > found.bboxes[:, :2]).all(1)
        return found[real], masks[real]

    def _accept(self, view: _Network, boxes: Tensor, labels: Tensor) -> tuple[InstanceData, Tensor]:
        """Given boxes, with a score of 1, and masks of the teacher where there are any."""
        masks = box_masks(boxes, view.size)
        taught = (labels >= 0) & (labels < self._taught_classes())
        if taught.any():
            self._refine_masks(view, boxes, labels, taught.nonzero()[:, 0], into=masks)
        return InstanceData(bboxes=boxes, labels=labels, scores=boxes.new_ones(len(boxes))), masks

    def _taught_classes(self) -> int:
        if getattr(self.model, "structured_teacher", None) is None:
            return 0
        return int(self.model.num_classes)

    def _refine_masks(
        self, view: _Network, boxes: Tensor, labels: Tensor, rows: Tensor, *, into: Tensor
    ) -> None:
        """Replace full boxes by valid masks of the structured teacher, each in its window."""
        sample = view.sample.clone()
        sample.gt_instances = InstanceData(bboxes=boxes[rows] * view.scale, labels=labels[rows])
        pseudo = self.model.teach(view.inputs, [sample])
        regions, windows = pseudo.regions / view.scale, box_windows(boxes[rows], view.size)
        for index in pseudo.valid.nonzero()[:, 0].tolist():
            x1, y1, x2, y2 = windows[index]
            mask = paste_window(pseudo.masks[index], regions[index], windows[index])
            into[rows[index], y1:y2, x1:x2] = mask

    def _grids(self, masks: Tensor, boxes: Tensor) -> Tensor:
        return crop_masks(masks, boxes, self.size)


def _checked(boxes: Any, labels: Any, view: _Network) -> tuple[Tensor, Tensor]:
    """Boxes cut at the image's border, and their labels."""
    device = view.inputs.device
    boxes = torch.as_tensor(np.asarray(boxes, dtype=np.float32), device=device)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(
            f"Expected `boxes` of an image{view.name} of shape (n, 4), but got "
            f"{tuple(boxes.shape)}."
        )
    if labels is None:
        labels = [-1] * len(boxes)
    labels = torch.as_tensor(np.asarray(labels, dtype=np.int64), device=device)
    if labels.shape != boxes.shape[:1]:
        raise ValueError(
            f"Expected a label for each of the {len(boxes)} boxes of an image{view.name}, but got "
            f"{tuple(labels.shape)}."
        )
    height, width = view.size
    inside = boxes.clamp_min(0).minimum(boxes.new_tensor([width, height, width, height]))
    empty = ~(inside[:, 2:] > inside[:, :2]).all(1)  # of NaN, too
    if empty.any():
        first = int(empty.nonzero()[0])
        raise ValueError(
            "Expected boxes (x1, y1, x2, y2) with x1 < x2 and y1 < y2 that touch the "
            f"image{view.name} of {width} x {height} pixels, but no. {first} of its boxes (from 0) "
            f"is {boxes[first].tolist()}. Mend it, or leave it out."
        )
    return inside, labels


def _without_annotations(
    pipeline: Sequence[Any], image_scale: tuple[int, int] | None
) -> list[dict[str, Any]]:
    """The steps of a test pipeline that an image alone can take."""
    steps = [dict(step) for step in pipeline if "Annotations" not in step["type"]]
    for step in steps:
        if step["type"].endswith("Resize") and image_scale is not None:
            step["scale"] = image_scale
    steps[-1]["meta_keys"] = ("ori_shape", "img_shape", "scale_factor")
    return steps
