"""The training step of DiscoBox: look, teach, losses; one mixin for every task network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from mmdet.registry import MODELS, TASK_UTILS
from mmdet.structures import DetDataSample
from mmdet.utils import ConfigType, OptConfigType
from torch import Tensor, nn

from mmdet_discobox.functional import box_masks, masks_to_boxes
from mmdet_discobox.models.losses import BoxMILLoss, mil_loss
from mmdet_discobox.models.teachers import TeacherNetwork, paste_regions
from mmdet_discobox.structures import BoxObjects, ContrastivePairs, MaskProposals, PseudoMasks, View

from .image_colours import ImageColours
from .module_types import check_module_type
from .task_network import TaskNetwork, look


class StructuredTeachingMixin:
    """Student, teacher network and structured teacher in one training step (Fig. 2).

    A subclass inherits from this and from a detector of mmdet, in that order, and implements
    :class:`.TaskNetwork`. A step has three acts:

    1. Look: the student, and its average once that has started, run backbone, neck and heads
       once and predict the masks of the ground-truth objects.
    2. Teach, without gradients: the structured teacher refines the masks of the average (of the
       student before it has started).
    3. Losses: the network's own, ``L_mil``, ``L_con`` and ``L_nce``. Then the bank is filled.

    Args:
        *args: arguments of the task network.
        loss_mil: config of ``L_mil``, a ``BoxMILLoss``.
        structured_teacher: config of the ``StructuredTeacher``; ``None`` trains by multiple
            instance learning alone. Number of classes and channels of its cross-image term are
            filled in.
        loss_consistency: config of ``L_con``, a ``MaskConsistencyLoss``.
        loss_nce: config of ``L_nce``, a ``DenseNCELoss``, for a teacher with a cross-image term;
            ``None`` lets correspondences refine masks alone.
        teacher_network: arguments of :class:`TeacherNetwork`; ``None`` refines the student's own
            masks. The average replaces the student from its first update by a ``TeacherEMAHook``.
            Modules that a subclass adds after ``super().__init__()`` would not be averaged, and
            the first update raises an error: add them in the class of the task network.
        prediction_refiner: config of a :class:`PredictionRefiner` for the masks of
            :meth:`predict`; ``None`` leaves them as the task network predicts them.
        **kwargs: keyword arguments of the task network.

    Raises:
        TypeError: if ``loss_mil`` is another loss.
        ValueError: if ``teacher_network`` is given without a ``structured_teacher``.
    """

    #: of every detector of mmdet that is built from a config
    data_preprocessor: Any
    dataset_meta: Any
    cfg: Any
    #: of the class, as the average is copied before it is set
    prediction_refiner: Any = None

    def __init__(
        self,
        *args: Any,
        loss_mil: ConfigType = dict(type="BoxMILLoss"),  # noqa: B006
        structured_teacher: OptConfigType = None,
        loss_consistency: ConfigType = dict(type="MaskConsistencyLoss"),  # noqa: B006
        loss_nce: OptConfigType = dict(type="DenseNCELoss"),  # noqa: B006
        teacher_network: OptConfigType = None,
        prediction_refiner: OptConfigType = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        if teacher_network is not None and structured_teacher is None:
            raise ValueError(
                "Expected `structured_teacher` to be a config because `teacher_network` is one, "
                "but got None. Set both, or `teacher_network=None`."
            )
        # The copy comes before all other additions, so that it holds the task network alone.
        self.teacher = None
        if teacher_network is not None:
            self.teacher = TeacherNetwork(cast(nn.Module, self), **teacher_network)
        self.loss_mil = MODELS.build(loss_mil)
        check_module_type("loss_mil", self.loss_mil, BoxMILLoss)
        self.structured_teacher: Any = None
        self.loss_nce: Any = None
        if structured_teacher is not None:
            self.structured_teacher = MODELS.build(self._completed(structured_teacher))
            self.loss_consistency = MODELS.build(loss_consistency)
            if self.structured_teacher.cross_image is not None and loss_nce is not None:
                self.loss_nce = MODELS.build(loss_nce)
        if prediction_refiner is not None:
            self.prediction_refiner = TASK_UTILS.build(
                {"type": "PredictionRefiner", **prediction_refiner}
            )
        self.to_rgb = ImageColours(self.data_preprocessor)

    def _completed(self: Any, structured_teacher: ConfigType) -> ConfigType:
        """Fill in the sizes of the bank."""
        term = structured_teacher.get("cross_image")
        if term is None:
            return structured_teacher
        known = dict(num_classes=self.num_classes, channels=self.feature_channels)
        return {**structured_teacher, "cross_image": {**known, **term}}

    def loss(
        self: Any, batch_inputs: Tensor, batch_data_samples: Sequence[DetDataSample], **_: Any
    ) -> dict[str, Tensor]:
        """Compute all losses of Sec. 3.4, and push the objects into the bank.

        Args:
            batch_inputs: ``(B, 3, H, W)`` normalised images.
            batch_data_samples: their boxes and labels; masks are not read.

        Returns:
            Losses under constant keys, and two figures for the log: ``teacher_valid``, the share
            of objects whose refined mask is valid, and ``teacher_agreement``, their mean IoU with
            the student's masks. Both are 0 while the gate of ``L_con`` is shut.
        """
        student = look(self, batch_inputs, BoxObjects.from_samples(batch_data_samples))
        teacher, pseudo = self.structured_teacher, None
        if teacher is not None and teacher.consistency_gate.is_open:
            pseudo = self.refine(self.teacher_view(student, batch_inputs), batch_inputs)
        losses = self.task_losses(student, pseudo)
        losses["loss_mil"] = mil_loss(self.loss_mil, student.proposals)
        if teacher is not None:
            losses.update(self._structured_losses(student, pseudo, batch_inputs.shape[-1]))
        if pseudo is not None:
            teacher.remember(pseudo, student.proposals.objects)
        return losses

    @property
    def teaching_network(self: Any) -> TaskNetwork:
        """The network whose masks are refined: the average once it has started, else the student.

        It is a task network like the student, for callers that predict masks of given boxes.
        """
        started = self.teacher is not None and self.teacher.started
        network: TaskNetwork = self.teacher.module if started else self
        return network

    @torch.no_grad()
    def teacher_view(self: Any, student: View, batch_inputs: Tensor) -> View:
        """Return the view of the teaching network, with the student's assignment.

        Args:
            student: view of the student, returned as it is while the average has not started.
            batch_inputs: ``(B, 3, H, W)`` normalised images.
        """
        network = self.teaching_network
        if network is self:
            return student
        return look(
            network,
            batch_inputs,
            student.proposals.objects,
            positives=student.positives,
            one_per_object=True,
        )

    @torch.no_grad()
    def refine(self: Any, view: View, batch_inputs: Tensor) -> PseudoMasks:
        """Refine the masks of a view by the structured teacher.

        Args:
            view: of the teaching network.
            batch_inputs: ``(B, 3, H, W)`` normalised images.
        """
        pseudo: PseudoMasks = self.structured_teacher(
            view.proposals, self.to_rgb(batch_inputs), feature_maps=view.features
        )
        return pseudo

    @torch.no_grad()
    def teach(
        self: Any, batch_inputs: Tensor, batch_data_samples: Sequence[DetDataSample]
    ) -> PseudoMasks:
        """Return the refined masks of these boxes as a training step would compute them now.

        Only the teaching network runs.

        Args:
            batch_inputs: ``(B, 3, H, W)`` normalised images.
            batch_data_samples: their boxes and labels.
        """
        objects = BoxObjects.from_samples(batch_data_samples)
        view = look(self.teaching_network, batch_inputs, objects, one_per_object=True)
        return self.refine(view, batch_inputs)

    def _structured_losses(
        self: Any, student: View, pseudo: PseudoMasks | None, width: int
    ) -> dict[str, Tensor]:
        """``L_con``, ``L_nce`` and the figures; zeros under the same keys without refined masks."""
        proposals = student.proposals
        zero = _zero_of(proposals.logits)
        figures = dict.fromkeys(("teacher_valid", "teacher_agreement"), zero.detach())
        losses = dict(loss_con=zero)
        if self.loss_nce is not None:
            losses["loss_nce"] = _zero_of(student.features[0])
        if pseudo is None:
            return {**losses, **figures}
        masks, inside = _on_image(pseudo, proposals)
        losses["loss_con"] = zero + self.loss_consistency(
            proposals.logits, masks, inside, pseudo.valid[proposals.object_inds]
        )
        if self.loss_nce is not None and pseudo.pairs is not None:
            contrast = self._contrast(student, pseudo.pairs, width)
            losses["loss_nce"] = losses["loss_nce"] + contrast
        return {**losses, **_figures(proposals, pseudo, masks, inside)}

    def _contrast(self: Any, student: View, pairs: ContrastivePairs, width: int) -> Tensor:
        """``L_nce``; the gradient flows into the student's features of the source alone."""
        teacher = self.structured_teacher
        features = teacher.roi_features(student.features, student.proposals.objects, width)
        loss: Tensor = self.loss_nce(
            teacher.similarity(features, pairs),
            pairs.correspondences.plan,
            pairs.source_masks.flatten(1),
            pairs.valid,
        )
        return loss

    def predict(
        self: Any, batch_inputs: Tensor, batch_data_samples: Sequence[DetDataSample], **kwargs: Any
    ) -> list[DetDataSample]:
        """Predict as the task network does, and refine its masks if that is configured.

        Args:
            batch_inputs: ``(B, 3, H, W)`` normalised images.
            batch_data_samples: their meta information.
            **kwargs: ``rescale``, to the original size of the images.
        """
        samples: list[DetDataSample] = super().predict(  # type: ignore[misc]
            batch_inputs, batch_data_samples, **kwargs
        )
        if self.prediction_refiner is not None:
            for image, sample in zip(self.to_rgb(batch_inputs), samples, strict=True):
                self._refine_predictions(image, sample)
        return samples

    def _refine_predictions(self: Any, image: Tensor, sample: DetDataSample) -> None:
        """Refine the predicted masks of an image, ``(3, H, W)`` RGB."""
        height, width = sample.img_shape[:2]
        found = sample.pred_instances
        found.masks = self.prediction_refiner(image[:, :height, :width], found.masks, found.scores)
        if not self.with_bbox:  # the boxes are those of the masks
            found.bboxes = masks_to_boxes(found.masks).to(found.bboxes)


def _zero_of(tensor: Tensor) -> Tensor:
    """Return a zero that is part of the tensor's graph and reads none of its values."""
    return tensor[:0].float().sum()


def _on_image(pseudo: PseudoMasks, proposals: MaskProposals) -> tuple[Tensor, Tensor]:
    """Return refined masks and boxes on the grid of the proposals, ``(N, H, W)`` each."""
    size = (proposals.logits.shape[-2], proposals.logits.shape[-1])
    masks = paste_regions(pseudo.masks, pseudo.regions / proposals.stride, size)
    inside = box_masks(proposals.objects.boxes / proposals.stride, size)
    return (masks * inside)[proposals.object_inds], inside[proposals.object_inds]


def _figures(
    proposals: MaskProposals, pseudo: PseudoMasks, masks: Tensor, inside: Tensor
) -> dict[str, Tensor]:
    """Share of valid masks among the objects, and their agreement with the student."""
    valid = pseudo.valid[proposals.object_inds]
    student, teacher = (proposals.logits > 0) & inside, masks > 0.5
    overlap = (student & teacher).sum((1, 2)) / (student | teacher).sum((1, 2)).clamp_min(1)
    return dict(
        teacher_valid=pseudo.valid.sum() / max(len(proposals.objects), 1),
        teacher_agreement=(overlap * valid).sum() / valid.sum().clamp_min(1),
    )
