"""Masks for any detector of boxes, at test time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmdet.models.detectors.base import BaseDetector
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.utils import ConfigType, OptConfigType
from torch import Tensor, nn

from mmdet_discobox.functional import constants_like, expand_boxes
from mmdet_discobox.models.detectors import ImageColours
from mmdet_discobox.structures import scale_factor, visible_size

from .auto_labeler import AutoLabeler
from .lazy_labeler import LazyLabeler

#: of the keys of the detector in a checkpoint
_PREFIX = "detector."


@MODELS.register_module()
class MasksFromBoxes(BaseDetector):
    """Wrap a detector, and add the mask of each of its boxes to its predictions.

    Not in the paper. The labeler segments the object of each predicted box in the pixels of the
    batch, at any class if it knows none. Training is that of the detector alone, and so are boxes,
    labels and scores. Attributes that the wrapper lacks are looked up in the detector. ::

        model = dict(type="MasksFromBoxes", detector=dict(type="FasterRCNN", ...))

    A checkpoint of the detector loads as it is: keys without the prefix ``detector.`` get it. The
    labeler is built at the first prediction on the device of the batch, and is not part of the
    checkpoint.

    Args:
        detector: config of any detector of mmdet, or a built one. Its own masks, if it predicts
            any, are replaced.
        labeler: None for the weights in this package; ``"colours"`` for no network; or the files
            of a training, ``dict(config=..., checkpoint=...)``, of a box labeller or of a DiscoBox
            detector. ``max_objects=`` beside them bounds the memory.
        classes: names of the detector's classes, for a labeler that has classes. None reads
            ``dataset_meta``, which mmdet's inference sets, but not its test script.
        min_score: detections with a lower score have an empty mask. In the evaluation they are
            missed objects, and because nothing ranks below them, AP is as if they were dropped.
        grow: fraction of the width and height by which a box is enlarged on every side.
        data_preprocessor: None for the detector's own.
        init_cfg: mmengine's; the detector has its own.

    Raises:
        FileNotFoundError: if a file of the labeler is missing.
        ValueError: for a negative ``grow`` or wrong settings of the labeler.
    """

    detector: Any
    dataset_meta: Any
    to_rgb: ImageColours

    def __init__(
        self,
        detector: ConfigType | nn.Module,
        labeler: Mapping[str, Any] | str | None = None,
        *,
        classes: Sequence[str] | None = None,
        min_score: float = 0.05,
        grow: float = 0.03,
        data_preprocessor: OptConfigType = None,
        init_cfg: OptConfigType = None,
    ) -> None:
        if grow < 0:
            raise ValueError(f"Expected `grow` to be at least 0 but got {grow}.")
        built = detector if isinstance(detector, nn.Module) else MODELS.build(detector)
        super().__init__(data_preprocessor or built.data_preprocessor, init_cfg)
        self.detector = built
        self.labeler = LazyLabeler(labeler)
        self.classes = classes
        self.min_score = min_score
        self.grow = grow
        self.to_rgb = ImageColours(self.data_preprocessor)
        self._register_load_state_dict_pre_hook(_add_prefix)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name.startswith("_") or "detector" not in self.__dict__.get("_modules", ()):
                raise
            return getattr(self.detector, name)

    def loss(self, batch_inputs: Tensor, batch_data_samples: Sequence[DetDataSample]) -> Any:
        """Compute the losses of the detector."""
        return self.detector.loss(batch_inputs, batch_data_samples)

    def extract_feat(self, batch_inputs: Tensor) -> Any:
        """Extract the features of the detector."""
        return self.detector.extract_feat(batch_inputs)

    def _forward(
        self, batch_inputs: Tensor, batch_data_samples: Sequence[DetDataSample] | None = None
    ) -> Any:
        return self.detector._forward(batch_inputs, batch_data_samples)

    def predict(
        self,
        batch_inputs: Tensor,
        batch_data_samples: Sequence[DetDataSample],
        rescale: bool = True,
    ) -> list[DetDataSample]:
        """Predict the detector's boxes, labels and scores, and masks for these boxes.

        Args:
            batch_inputs: ``(B, 3, H, W)`` normalised images.
            batch_data_samples: their samples.
            rescale: whether results are in pixels of the original image, else of the resized one.
                A flipped image has flipped results, as everywhere in mmdet.

        Returns:
            The samples with ``pred_instances``, whose ``masks`` are ``(N, height, width)`` boolean:
            ``ori_shape``, or ``img_shape`` without ``rescale``.

        Raises:
            ValueError: if the labeler has classes, but the names of the detector's are unknown.
        """
        samples = self.detector.predict(batch_inputs, batch_data_samples, rescale=rescale)
        labeler = self.labeler.on(batch_inputs.device)
        for image, sample in zip(batch_inputs, samples, strict=True):
            height, width = visible_size(sample)
            rgb = self.to_rgb(image[None, :, :height, :width])[0].round().clamp(0, 255)
            self._add_masks(labeler, rgb, sample, rescale)
        return list(samples)

    def _add_masks(
        self, labeler: AutoLabeler, rgb: Tensor, sample: DetDataSample, rescale: bool
    ) -> None:
        """Add the masks of one image, whose pixels are ``(3, h, w)`` without padding."""
        found, size = sample.pred_instances, sample.ori_shape if rescale else sample.img_shape
        factors = scale_factor(sample) if rescale else (1.0, 1.0)
        boxes = found.bboxes.float()
        boxes = expand_boxes(boxes * constants_like(factors, boxes).repeat(2), self.grow)
        limits = constants_like((rgb.shape[-1], rgb.shape[-2]), boxes).repeat(2)
        boxes = boxes.clamp_min(0).minimum(limits)
        has_area = (boxes[:, 2:] > boxes[:, :2]).all(1)
        chosen = (has_area & (found.scores >= self.min_score)).nonzero()[:, 0]
        masks = torch.zeros(len(boxes), *size[:2], dtype=torch.bool, device=boxes.device)
        if len(chosen):
            masks[chosen] = labeler.label_tensor(
                rgb,
                boxes[chosen],
                self._class_names(labeler, found.labels[chosen]),
                scale=(1 / factors[0], 1 / factors[1]),
                size=(size[0], size[1]),
            )
        found.masks = masks

    def _class_names(self, labeler: AutoLabeler, labels: Tensor) -> list[str]:
        """Return the names of some labels, or empty ones for a labeler without classes."""
        if not labeler.labels:
            return [""] * len(labels)
        names = self.classes or (getattr(self, "dataset_meta", None) or {}).get("classes") or ()
        names = (names,) if isinstance(names, str) else tuple(names)
        indices = labels.tolist()
        if max(indices) >= len(names):
            raise ValueError(
                f"Expected the name of the detector's class {max(indices)}, because the labeler "
                f"has classes, but got {len(names)} names. Set `model.classes`."
            )
        return [names[index] for index in indices]


def _add_prefix(state_dict: dict[str, Tensor], prefix: str, *_: Any) -> None:
    """Move the weights of a plain detector to their place in the wrapper, in place."""
    ours = prefix + _PREFIX
    for key in [key for key in state_dict if key.startswith(prefix)]:
        if not key.startswith(ours):
            state_dict[ours + key.removeprefix(prefix)] = state_dict.pop(key)
