"""The training step of DiscoBox, as a mixin for every task network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from mmdet.registry import MODELS, TASK_UTILS
from mmdet.structures import DetDataSample
from mmdet.utils import ConfigType, OptConfigType
from torch import Tensor, nn

from mmdet_discobox.functional import masks_to_boxes
from mmdet_discobox.models.losses import BoxMILLoss, mil_loss
from mmdet_discobox.models.teachers import TeacherNetwork
from mmdet_discobox.structures import BoxObjects, PseudoMasks, TrueMasks, View, visible_size

from .colour_jitter import ColourJitter
from .image_colours import ImageColours
from .module_types import check_module_type
from .task_network import TaskNetwork, look
from .teaching_losses import structured_losses


class StructuredTeachingMixin:
    """Train a task network with a structured teacher (Fig. 2).

    A subclass inherits from this mixin and from a detector of mmdet, in that order, and implements
    :class:`.TaskNetwork`. A training step has three acts:

    1. Look: the student runs backbone, neck and heads once and predicts the masks of the
       ground-truth objects. So does the teacher network, if it has started and
       the gate of ``L_con`` is open.
    2. Teach, without gradients and only while this gate is open: the structured teacher refines the
       masks of the teacher network, or of the student before the teacher network has started.
    3. Losses: those of the network, ``L_mil``, ``L_con`` and ``L_nce``. Then the objects are pushed
       into the bank.

    Args:
        *args: arguments of the task network.
        loss_mil: config of ``L_mil``, a ``BoxMILLoss``.
        structured_teacher: config of the ``StructuredTeacher``; None trains without it.
            ``num_classes`` and ``channels`` of its cross-image term default to the network's.
        loss_consistency: config of ``L_con``, a ``MaskConsistencyLoss``.
        loss_nce: config of ``L_nce``, a ``DenseNCELoss``, for a teacher with a cross-image term.
            With None, correspondences still refine masks.
        teacher_network: arguments of :class:`TeacherNetwork`, which starts at its first update by a
            ``TeacherEMAHook``; None refines the masks of the student. Modules that a subclass adds
            after ``super().__init__()`` are not averaged, which is an error at the first update:
            add them in the class of the task network. Other attributes may be set there.
        prediction_refiner: arguments of a :class:`PredictionRefiner` for the masks of
            :meth:`predict`; None does not refine them.
        colour_jitter: arguments of :class:`.ColourJitter`, which perturbs the images of the student
            while the teacher network and the mean field see clean ones; None, the paper's choice,
            shows the student clean images.
        true_masks: whether some objects have a true mask (mixed supervision). It replaces their
            refined mask, and teaches before the gate of ``L_con`` opens, too. The data set needs
            ``use_masks=True``, and its pipeline ``LoadTrueMasks``. Otherwise no mask is ever read.
        **kwargs: keyword arguments of the task network.

    Raises:
        TypeError: if ``loss_mil`` is no ``BoxMILLoss``.
        ValueError: if ``teacher_network`` or ``true_masks`` is given without a
            ``structured_teacher``.
    """

    #: attributes of every detector that mmdet builds from a config
    data_preprocessor: Any
    dataset_meta: Any
    cfg: Any
    #: class attributes, because the teacher network is copied before the instance has its own
    prediction_refiner: Any = None
    true_masks: bool = False

    def __init__(
        self,
        *args: Any,
        loss_mil: ConfigType = dict(type="BoxMILLoss"),  # noqa: B006
        structured_teacher: OptConfigType = None,
        loss_consistency: ConfigType = dict(type="MaskConsistencyLoss"),  # noqa: B006
        loss_nce: OptConfigType = dict(type="DenseNCELoss"),  # noqa: B006
        teacher_network: OptConfigType = None,
        prediction_refiner: OptConfigType = None,
        colour_jitter: OptConfigType = None,
        true_masks: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        if teacher_network is not None and structured_teacher is None:
            raise ValueError(
                "Expected `structured_teacher` to be a config because `teacher_network` is one, "
                "but got None. Set both, or `teacher_network=None`."
            )
        if true_masks and structured_teacher is None:
            raise ValueError(
                "Expected `structured_teacher` to be a config because `true_masks` is set: they "
                "teach by L_con, in place of refined masks; but got None."
            )
        # copied before the other modules are added, so that it has those of the task network alone
        self.teacher = None
        if teacher_network is not None:
            self.teacher = TeacherNetwork(cast(nn.Module, self), **teacher_network)
        self.loss_mil = MODELS.build(loss_mil)
        check_module_type("loss_mil", self.loss_mil, BoxMILLoss)
        self.structured_teacher: Any = None
        self.loss_nce: Any = None
        if structured_teacher is not None:
            self.structured_teacher = MODELS.build(self._with_bank_sizes(structured_teacher))
            self.loss_consistency = MODELS.build(loss_consistency)
            if self.structured_teacher.correspondence_gate is not None and loss_nce is not None:
                self.loss_nce = MODELS.build(loss_nce)
        if prediction_refiner is not None:
            self.prediction_refiner = TASK_UTILS.build(
                {"type": "PredictionRefiner", **prediction_refiner}
            )
        self.true_masks = true_masks
        self.colour_jitter = None if colour_jitter is None else ColourJitter(**colour_jitter)
        self.to_rgb = ImageColours(self.data_preprocessor)
        self._own_attributes = {*vars(self), "_own_attributes"}

    def _with_bank_sizes(self: Any, structured_teacher: ConfigType) -> ConfigType:
        """Add the sizes of the object bank to the config, unless it has them."""
        term = structured_teacher.get("cross_image")
        if term is None:
            return structured_teacher
        sizes = dict(num_classes=self.num_classes, channels=self.feature_channels)
        return {**structured_teacher, "cross_image": {**sizes, **term}}

    def loss(
        self: Any, batch_inputs: Tensor, batch_data_samples: Sequence[DetDataSample], **_: Any
    ) -> dict[str, Tensor]:
        """Compute all losses of Sec. 3.4, then push the objects into the bank (Sec. 3.6).

        Args:
            batch_inputs: ``(B, 3, H, W)`` normalised images.
            batch_data_samples: their boxes and labels, and masks if ``true_masks`` is set.

        Returns:
            Losses under constant keys and, with a structured teacher, two statistics for the log:
            ``teacher_valid``, the fraction of objects with a valid refined mask, and
            ``teacher_agreement``, the mean IoU of the student's masks with these. Both are 0 while
            the gate of ``L_con`` is closed. With ``true_masks`` there are two more: ``true_masks``,
            the fraction of objects with a true mask, and ``teacher_true_iou``, the running mean of
            the IoU of the refined masks with the true ones before these replace them.
        """
        objects = BoxObjects.from_samples(batch_data_samples)
        jitter = self.colour_jitter
        student = look(self, batch_inputs if jitter is None else jitter(batch_inputs), objects)
        teacher, pseudo = self.structured_teacher, None
        truth = self.collect_truth(batch_inputs, batch_data_samples)
        if teacher is not None and teacher.consistency_gate.is_open:
            pseudo = self.refine(self.teacher_view(student, batch_inputs), batch_inputs, truth)
        elif truth is not None:
            pseudo = teacher.true_masks(objects, truth)
        losses = self.task_losses(student, pseudo)
        losses["loss_mil"] = mil_loss(self.loss_mil, student.proposals)
        if teacher is not None:
            losses.update(
                structured_losses(
                    student,
                    pseudo,
                    batch_inputs.shape[-1],
                    teacher=teacher,
                    loss_consistency=self.loss_consistency,
                    loss_nce=self.loss_nce,
                )
            )
        if pseudo is not None:
            teacher.update_bank(pseudo, student.proposals.objects)
        return losses

    def collect_truth(
        self: Any, batch_inputs: Tensor, samples: Sequence[DetDataSample]
    ) -> TrueMasks | None:
        """Collect the true masks of a batch; None without mixed supervision.

        Args:
            batch_inputs: ``(B, 3, H, W)`` normalised images.
            samples: their data samples, with :class:`.PartialMasks`.
        """
        if not self.true_masks:
            return None
        size = (batch_inputs.shape[-2], batch_inputs.shape[-1])
        return TrueMasks.from_samples(samples, size, batch_inputs.device)

    @property
    def teaching_network(self: Any) -> TaskNetwork:
        """The network whose masks are refined: the teacher network if it has started."""
        if self.teacher is None or not self.teacher.started:
            return cast(TaskNetwork, self)
        network = self.teacher.module
        # what the `__init__` of a subclass sets after the copy was made, its methods may need
        for name in vars(self).keys() - self._own_attributes:
            vars(network)[name] = vars(self)[name]
        return cast(TaskNetwork, network)

    @torch.no_grad()
    def teacher_view(self: Any, student: View, batch_inputs: Tensor) -> View:
        """Run the teaching network on a batch with the student's assignment.

        Args:
            student: view of the student, returned unchanged until the teacher network has started.
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
    def refine(
        self: Any, view: View, batch_inputs: Tensor, truth: TrueMasks | None = None
    ) -> PseudoMasks:
        """Refine the masks of a view with the structured teacher.

        Args:
            view: view of the teaching network.
            batch_inputs: ``(B, 3, H, W)`` normalised images.
            truth: true masks of some objects, which replace the refined ones.
        """
        return self.structured_teacher(
            view.proposals, self.to_rgb(batch_inputs), feature_maps=view.features, truth=truth
        )

    @torch.no_grad()
    def teach(
        self: Any, batch_inputs: Tensor, batch_data_samples: Sequence[DetDataSample]
    ) -> PseudoMasks:
        """Refine masks for given boxes, as a training step would; only the teaching network runs.

        Args:
            batch_inputs: ``(B, 3, H, W)`` normalised images.
            batch_data_samples: their boxes and labels.
        """
        objects = BoxObjects.from_samples(batch_data_samples)
        view = look(self.teaching_network, batch_inputs, objects, one_per_object=True)
        return self.refine(view, batch_inputs)

    def predict(
        self: Any, batch_inputs: Tensor, batch_data_samples: Sequence[DetDataSample], **kwargs: Any
    ) -> list[DetDataSample]:
        """Predict with the task network, and refine its masks if ``prediction_refiner`` is set.

        Args:
            batch_inputs: ``(B, 3, H, W)`` normalised images.
            batch_data_samples: their meta information.
            **kwargs: ``rescale``, whether masks have the original size of the images.
        """
        samples: list[DetDataSample] = super().predict(  # type: ignore[misc]
            batch_inputs, batch_data_samples, **kwargs
        )
        if self.prediction_refiner is not None:
            for image, sample in zip(self.to_rgb(batch_inputs), samples, strict=True):
                self._refine_predictions(image, sample, rescale=kwargs.get("rescale", True))
        return samples

    def _refine_predictions(
        self: Any, image: Tensor, sample: DetDataSample, *, rescale: bool = True
    ) -> None:
        """Refine the predicted masks of an image, ``(3, H, W)`` RGB."""
        height, width = visible_size(sample)
        instances = sample.pred_instances
        size = tuple(instances.masks.shape[-2:])
        if not rescale and size != tuple(sample.ori_shape[:2]):  # SOLOv2 always rescales
            height, width = size  # pixels of the batch, for RTMDet-Ins with its padding
        instances.masks = self.prediction_refiner(
            image[:, :height, :width], instances.masks, instances.scores
        )
        if not self.with_bbox:  # a network without a box head takes boxes from its masks
            instances.bboxes = masks_to_boxes(instances.masks).to(instances.bboxes)
