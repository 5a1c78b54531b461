"""The box labeller: a task network that segments the object of a given box, and detects nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn as nn
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmdet.models.detectors.single_stage_instance_seg import SingleStageInstanceSegmentor
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.utils import ConfigType, OptConfigType, OptMultiConfig
from mmengine.model import BaseModule
from mmengine.structures import InstanceData
from torch import Tensor

from mmdet_discobox.functional import check_ranges
from mmdet_discobox.models.detectors import StructuredTeachingMixin, check_module_type, look
from mmdet_discobox.models.teachers import paste_regions
from mmdet_discobox.structures import BoxObjects, MaskProposals, PseudoMasks, View

#: bound of the coordinates, in half sides of the box
_FARTHEST = 2.0


@MODELS.register_module()
class BoxMaskHead(BaseModule):
    """Predict the mask of each box from the features of its image and from where the box lies.

    The levels of the neck are added up at the resolution of the finest. Three maps join them for
    every box: x and y from its centre in half sides, and whether a cell lies inside. Some
    convolutions give the logits.

    Args:
        in_channels: channels of the outputs of the neck.
        feat_channels: channels of the convolutions.
        stacked_convs: number of convolutions before the last one.
        coordinates: whether the maps of the box join the features.
        num_classes: number of classes that condition the masks, by an embedding that is added to
            the features; None predicts the same mask for every class.
        box_jitter: largest error of each side of the box in the maps of a training step, as a
            fraction of width or height, because annotated boxes are not exact. ``L_mil`` and the
            teacher still use the given box.
        norm_cfg: normalisation of the convolutions.
        train_cfg: not used; mmdet's detectors pass it.
        test_cfg: not used; mmdet's detectors pass it.
        init_cfg: initialisation.

    Raises:
        ValueError: if ``box_jitter`` is not in [0, 0.5).
    """

    def __init__(
        self,
        in_channels: int = 64,
        feat_channels: int = 64,
        stacked_convs: int = 2,
        coordinates: bool = True,
        num_classes: int | None = None,
        box_jitter: float = 0.0,
        norm_cfg: OptConfigType = dict(type="GN", num_groups=32),  # noqa: B006
        train_cfg: OptConfigType = None,
        test_cfg: OptConfigType = None,
        init_cfg: OptMultiConfig = dict(type="Normal", layer="Conv2d", std=0.01),  # noqa: B006
    ) -> None:
        super().__init__(init_cfg)
        check_ranges(box_jitter=(box_jitter, "[0, 0.5)"))  # with 0.5, a box may have no area
        self.in_channels = in_channels
        self.coordinates = coordinates
        self.num_classes = num_classes
        self.box_jitter = box_jitter
        self.classes = None if num_classes is None else nn.Embedding(num_classes, in_channels)
        channels = in_channels + 3 * coordinates
        self.convs = nn.Sequential()
        for _ in range(stacked_convs):
            self.convs.append(ConvModule(channels, feat_channels, 3, padding=1, norm_cfg=norm_cfg))
            channels = feat_channels
        self.conv_logit = nn.Conv2d(channels, 1, 1)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Add up the levels, ``(B, C, h, w)`` each, at the resolution of the first."""
        finest, *others = features
        size = finest.shape[-2:]
        for level in others:
            finest = finest + F.interpolate(level, size, mode="bilinear", align_corners=False)
        return finest

    def predict_masks(self, features: Tensor, objects: BoxObjects, stride: float) -> Tensor:
        """Predict the mask of each object.

        Args:
            features: ``(B, C, h, w)`` result of :meth:`forward`.
            objects: the G objects.
            stride: pixels per cell.

        Returns:
            ``(G, h, w)`` logits.
        """
        own = features[objects.image_inds]
        if self.classes is not None:
            own = own + self.classes(objects.labels)[:, :, None, None]
        if self.coordinates:
            boxes = objects.boxes / stride
            if self.training and self.box_jitter:
                boxes = _jitter(boxes, self.box_jitter)
            own = torch.cat([own, box_coordinates(boxes, *own.shape[-2:]).to(own)], 1)
        logits: Tensor = self.conv_logit(self.convs(own))[:, 0]
        return logits


def box_coordinates(boxes: Tensor, height: int, width: int) -> Tensor:
    """Compute the coordinates of every cell relative to each box.

    Args:
        boxes: ``(G, 4)`` ``(x1, y1, x2, y2)`` in cells.
        height: cells of the grid.
        width: cells of the grid.

    Returns:
        ``(G, 3, height, width)``: x and y from the centre of the box in half sides, at most 2 in
        absolute value, and 1 for cells whose centre is inside the box, else 0.
    """
    centres, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
    half = half.clamp_min(1e-3)
    cols = torch.arange(width, device=boxes.device) + 0.5
    rows = torch.arange(height, device=boxes.device) + 0.5
    x = ((cols - centres[:, :1]) / half[:, :1]).clamp(-_FARTHEST, _FARTHEST)  # (G, width)
    y = ((rows - centres[:, 1:]) / half[:, 1:]).clamp(-_FARTHEST, _FARTHEST)  # (G, height)
    x, y = torch.broadcast_tensors(x[:, None, :], y[:, :, None])
    inside = (x.abs() <= 1) & (y.abs() <= 1)
    return torch.stack([x, y, inside.to(x)], 1)


def _jitter(boxes: Tensor, jitter: float) -> Tensor:
    """Move each side of the boxes by at most ``jitter`` of their width or height."""
    sides = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
    return boxes + sides * jitter * (2 * torch.rand_like(boxes) - 1)


@MODELS.register_module()
class DiscoBoxLabeler(StructuredTeachingMixin, SingleStageInstanceSegmentor):
    """Segment the object of a given box in the crop around it, trained from boxes (Sec. 3).

    Not in the paper, whose networks detect: they see an object of 60 pixels on 15 cells and must
    know its class. Here every box is a crop with a margin, warped to a square, see
    :class:`.BoxCropDataset`; the network has no detection loss and needs no class. Teacher, losses
    and average are those of every task network.

    It has a :class:`BoxMaskHead`. Further arguments are those of
    :class:`.StructuredTeachingMixin`, without ``prediction_refiner``: its own structured teacher
    refines the masks that it predicts.

    Args:
        crop_size: side of the crops in pixels outside of training, where the pipeline decides.
        margins: margins of the crops whose masks are averaged, fractions of the width and height
            of the box.

    Raises:
        TypeError: if the mask head has another class.
        ValueError: if the teacher has an object bank, but the head no classes, or for a
            ``prediction_refiner``.
    """

    def __init__(
        self,
        *args: Any,
        crop_size: int = 192,
        margins: Sequence[float] = (0.1, 0.2),
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        check_module_type("mask_head", self.mask_head, BoxMaskHead)
        if self.prediction_refiner is not None:
            raise ValueError(
                "Expected no `prediction_refiner` for a DiscoBoxLabeler, whose predictions its "
                "`structured_teacher` refines, but got one. Set `prediction_refiner=None`, and "
                "configure the teacher instead."
            )
        self.crop_size = crop_size
        self.margins = tuple(margins)

    @property
    def num_classes(self) -> int | None:
        """Number of classes that condition the masks; None if the labeller knows no classes."""
        classes: int | None = self.mask_head.num_classes
        return classes

    def _with_bank_sizes(self, structured_teacher: ConfigType) -> ConfigType:
        if structured_teacher.get("cross_image") is not None and self.num_classes is None:
            raise ValueError(
                "Expected `mask_head.num_classes` with a cross-image term, which compares objects "
                "of one class, but got None. Set it, or `structured_teacher.cross_image=None`."
            )
        return super()._with_bank_sizes(structured_teacher)

    @property
    def feature_channels(self) -> int:
        """Channels of each output of the neck."""
        return int(self.mask_head.in_channels)

    def head_outputs(self, features: Sequence[Tensor]) -> Tensor:
        """Add up the levels of the neck."""
        fused: Tensor = self.mask_head(features)
        return fused

    def assign(self, outputs: Tensor, objects: BoxObjects) -> Tensor:
        """Return the ``(G,)`` indices of the objects: every object has one mask."""
        return torch.arange(len(objects), device=outputs.device)

    def mask_proposals(
        self,
        outputs: Tensor,
        positives: Tensor,
        objects: BoxObjects,
        frame: tuple[int, int],
        *,
        one_per_object: bool = False,
    ) -> MaskProposals:
        """Predict the mask of every object."""
        stride = frame[1] / outputs.shape[-1]
        logits = self.mask_head.predict_masks(outputs, objects[positives], stride)
        return MaskProposals(logits, positives, objects, stride)

    def task_losses(self, view: View, pseudo: PseudoMasks | None) -> dict[str, Tensor]:
        """Return no loss: the masks are all that is learned."""
        return {}

    @torch.no_grad()
    def predict(
        self, batch_inputs: Tensor, batch_data_samples: Sequence[DetDataSample], **_: Any
    ) -> list[DetDataSample]:
        """Predict the masks of the boxes in ``gt_instances``, as for pseudo-labels.

        The teacher network predicts them, if there is one, and the structured teacher refines them.

        Args:
            batch_inputs: ``(B, 3, H, W)`` normalised crops.
            batch_data_samples: their boxes.

        Returns:
            The samples with ``pred_instances``: the boxes and labels as they are, scores of 1,
            and masks in pixels of the crop.
        """
        objects = BoxObjects.from_samples(batch_data_samples)
        view = look(self.teaching_network, batch_inputs, objects, one_per_object=True)
        size = (batch_inputs.shape[-2], batch_inputs.shape[-1])
        if self.structured_teacher is None:
            logits, _found = view.proposals.per_object()
            probs = F.interpolate(logits[:, None], size, mode="bilinear")[:, 0].sigmoid()
        else:
            pseudo = self.refine(view, batch_inputs)
            probs = paste_regions(pseudo.masks, pseudo.regions, size)
        for index, sample in enumerate(batch_data_samples):
            given, (height, width) = sample.gt_instances, sample.img_shape[:2]
            sample.pred_instances = InstanceData(
                bboxes=given.bboxes,
                labels=given.labels,
                scores=torch.ones_like(given.bboxes[:, 0]),
                masks=probs[objects.image_inds == index, :height, :width] > 0.5,
            )
        return list(batch_data_samples)
