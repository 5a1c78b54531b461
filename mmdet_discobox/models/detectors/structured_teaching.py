"""What turns a one-stage instance segmentor into a DiscoBox: one mixin for every task network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from mmdet.models.detectors.single_stage_instance_seg import SingleStageInstanceSegmentor
from mmdet.registry import MODELS, TASK_UTILS
from mmdet.structures import DetDataSample
from mmdet.utils import ConfigType, OptConfigType
from torch import Tensor

from mmdet_discobox.functional import box_masks, cosine_similarity, masks_to_boxes
from mmdet_discobox.models.teachers import TeacherNetwork, paste_regions
from mmdet_discobox.structures import ContrastivePairs, MaskProposals, PseudoMasks


@dataclass(frozen=True)
class _Step:
    """What the student made of a batch."""

    features: Sequence[Tensor]
    proposals: MaskProposals
    inputs: Tensor
    samples: Sequence[DetDataSample]


class StructuredTeachingMixin(SingleStageInstanceSegmentor):
    """Student, teacher network and structured teacher in one training step (Fig. 2).

    A subclass inherits from this and from its task network, in that order. Where the network's
    mask head alone does not have ``loss_and_proposals`` and ``propose``, it overrides
    :meth:`_loss_and_proposals` and :meth:`_propose`.

    Args:
        *args: arguments of the task network.
        structured_teacher: config of the ``StructuredTeacher``; ``None`` trains by multiple
            instance learning alone. Number of classes and channels of its cross-image term are
            filled in.
        loss_consistency: config of ``L_con``, a ``MaskConsistencyLoss``.
        loss_nce: config of ``L_nce``, a ``DenseNCELoss``, for a teacher with a cross-image term;
            ``None`` lets correspondences refine masks and teach nothing else.
        teacher_network: arguments of :class:`TeacherNetwork`; ``None`` lets the student's own
            masks and features be used. It starts to teach with its first update by a
            ``TeacherEMAHook``.
        prediction_refiner: config of a :class:`PredictionRefiner` for the masks of
            :meth:`predict`; ``None`` leaves them as the task network predicts them.
        **kwargs: keyword arguments of the task network.

    Raises:
        ValueError: if ``teacher_network`` is given without a ``structured_teacher``.
    """

    #: of the class, so that the teacher network, which is copied early, has none
    prediction_refiner: Any = None

    def __init__(
        self,
        *args: Any,
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
        # First of all additions: the copy then holds the task network alone, and its buffers
        # stand at the same positions as the student's.
        self.teacher = None
        if teacher_network is not None:
            self.teacher = TeacherNetwork(self, **teacher_network)
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

    def _completed(self, structured_teacher: ConfigType) -> ConfigType:
        """Fill in what the bank has to know of the network."""
        term = structured_teacher.get("cross_image")
        if term is None:
            return structured_teacher
        head = self.bbox_head if self.with_bbox else self.mask_head
        known = dict(num_classes=head.num_classes, channels=head.in_channels)
        return {**structured_teacher, "cross_image": {**known, **term}}

    def loss(
        self, batch_inputs: Tensor, batch_data_samples: Sequence[DetDataSample], **_: Any
    ) -> dict[str, Tensor]:
        """Compute all losses of Sec. 3.4, and remember the objects in the bank.

        Args:
            batch_inputs: ``(B, 3, H, W)`` normalised images.
            batch_data_samples: their boxes and labels; masks are not looked at.

        Returns:
            Losses under keys that never change, and two figures for the log: ``teacher_valid``,
            the share of objects whose refined mask may teach, and ``teacher_agreement``, their
            mean IoU with the student's masks. While the gate of ``L_con`` is shut, these are 0.
        """
        features = self.extract_feat(batch_inputs)
        losses, proposals = self._loss_and_proposals(features, batch_data_samples)
        if self.structured_teacher is not None:
            step = _Step(features, proposals, batch_inputs, batch_data_samples)
            losses.update(self._structured_losses(step))
        return losses

    def _loss_and_proposals(
        self, features: Sequence[Tensor], samples: Sequence[DetDataSample]
    ) -> tuple[dict[str, Tensor], MaskProposals]:
        """``L_det`` and ``L_mil``, and the masks they were computed on."""
        losses, proposals = self.mask_head.loss_and_proposals(features, samples)
        return losses, proposals

    def _propose(
        self, features: Sequence[Tensor], samples: Sequence[DetDataSample]
    ) -> MaskProposals:
        """Masks of the ground-truth objects, without losses."""
        proposals: MaskProposals = self.mask_head.propose(features, samples)
        return proposals

    def _losses_on_refined(
        self, features: Sequence[Tensor], proposals: MaskProposals, pseudo: PseudoMasks | None
    ) -> dict[str, Tensor]:
        """Losses of the network's own that learn from refined masks; none by default.

        Args:
            features: feature maps of the student's neck.
            proposals: of the student.
            pseudo: the refined masks, or None while the gate of ``L_con`` is shut: then the same
                keys, with zeros.
        """
        return {}

    def _structured_losses(self, step: _Step) -> dict[str, Tensor]:
        proposals = step.proposals
        zero = _zero_of(proposals.logits)
        pseudo = None
        figures = dict.fromkeys(("teacher_valid", "teacher_agreement"), zero.detach())
        losses = dict(loss_con=zero)
        if self.loss_nce is not None:
            losses["loss_nce"] = _zero_of(step.features[0])
        if self.structured_teacher.consistency_gate.is_open:
            pseudo, roi_features = self._teach(step)
            masks, inside = self._on_image(pseudo, proposals)
            losses["loss_con"] = zero + self.loss_consistency(
                proposals.logits, masks, inside, pseudo.valid[proposals.object_inds]
            )
            figures = _figures(proposals, pseudo, masks, inside)
            if self.loss_nce is not None and pseudo.pairs is not None:
                losses["loss_nce"] = losses["loss_nce"] + self._contrast(step, pseudo.pairs)
            if roi_features is not None:
                self.structured_teacher.remember(roi_features, pseudo, proposals.objects)
        own = self._losses_on_refined(step.features, proposals, pseudo)
        return {**losses, **figures, **own}

    @staticmethod
    def _on_image(pseudo: PseudoMasks, proposals: MaskProposals) -> tuple[Tensor, Tensor]:
        """Refined masks and boxes on the proposals' grid, ``(N, H, W)`` each."""
        size = (proposals.logits.shape[-2], proposals.logits.shape[-1])
        masks = paste_regions(pseudo.masks, pseudo.regions / proposals.stride, size)
        inside = box_masks(proposals.objects.boxes / proposals.stride, size)
        return (masks * inside)[proposals.object_inds], inside[proposals.object_inds]

    def _contrast(self, step: _Step, pairs: ContrastivePairs) -> Tensor:
        """``L_nce``: the gradient flows into the student's features of the source alone."""
        source = self._roi_features(step.features, step)[pairs.source_inds]
        loss: Tensor = self.loss_nce(
            cosine_similarity(source, pairs.target_features),
            pairs.correspondences.plan,
            pairs.source_masks.flatten(1),
            pairs.valid,
        )
        return loss

    def _roi_features(self, features: Sequence[Tensor], step: _Step) -> Tensor:
        return self.structured_teacher.cross_image.features(
            features, step.proposals.objects, step.inputs.shape[-1]
        )

    @torch.no_grad()
    def teach(
        self, batch_inputs: Tensor, batch_data_samples: Sequence[DetDataSample]
    ) -> PseudoMasks:
        """Return the masks that the teacher would teach for these boxes now.

        Args:
            batch_inputs: ``(B, 3, H, W)`` normalised images.
            batch_data_samples: their boxes and labels.
        """
        features = self.extract_feat(batch_inputs)
        proposals = self._propose(features, batch_data_samples)
        return self._teach(_Step(features, proposals, batch_inputs, batch_data_samples))[0]

    @torch.no_grad()
    def _teach(self, step: _Step) -> tuple[PseudoMasks, Tensor | None]:
        """Refine masks of the teacher network (of the student before it starts).

        Returns:
            The refined masks and the objects' RoI features, None without a cross-image term.
        """
        features, proposals = step.features, step.proposals
        if self.teacher is not None and self.teacher.started:
            network = self.teacher.module
            features = network.extract_feat(step.inputs)
            proposals = network._propose(features, step.samples)
        roi_features = None
        if self.structured_teacher.cross_image is not None:
            roi_features = self._roi_features(features, step)
        logits, predicted = proposals.per_object()
        pseudo = self.structured_teacher(
            logits,
            predicted,
            proposals.objects,
            self._rgb(step.inputs),
            stride=proposals.stride,
            features=roi_features,
        )
        return pseudo, roi_features

    def predict(
        self, batch_inputs: Tensor, batch_data_samples: Sequence[DetDataSample], **kwargs: Any
    ) -> list[DetDataSample]:
        """Predict as the task network does, and refine its masks if that is configured.

        Args:
            batch_inputs: ``(B, 3, H, W)`` normalised images.
            batch_data_samples: their meta information.
            **kwargs: ``rescale``, to the original size of the images.
        """
        samples: list[DetDataSample] = super().predict(batch_inputs, batch_data_samples, **kwargs)
        if self.prediction_refiner is not None:
            for image, sample in zip(self._rgb(batch_inputs), samples, strict=True):
                self._refine(image, sample)
        return samples

    def _refine(self, image: Tensor, sample: DetDataSample) -> None:
        """Refine the predicted masks of an image, ``(3, H, W)`` RGB."""
        height, width = sample.img_shape[:2]
        found = sample.pred_instances
        found.masks = self.prediction_refiner(image[:, :height, :width], found.masks, found.scores)
        if not self.with_bbox:  # the boxes are those of the masks
            found.bboxes = masks_to_boxes(found.masks).to(found.bboxes)

    def _rgb(self, batch_inputs: Tensor) -> Tensor:
        """Undo the data preprocessor: RGB in [0, 255].

        mmdet's loaders give BGR; a preprocessor that swaps the channels has made it RGB.
        """
        preprocessor = self.data_preprocessor
        images = batch_inputs.float()
        if preprocessor._enable_normalize:
            images = images * preprocessor.std + preprocessor.mean
        return images if preprocessor._channel_conversion else images.flip(1)


def _zero_of(tensor: Tensor) -> Tensor:
    """A zero that is part of the tensor's graph; of few values, whose sum is finite in fp16."""
    return tensor[..., :1, :1].float().sum() * 0


def _figures(
    proposals: MaskProposals, pseudo: PseudoMasks, masks: Tensor, inside: Tensor
) -> dict[str, Tensor]:
    """Share of valid masks among the objects, and their agreement with the student."""
    valid = pseudo.valid[proposals.object_inds]
    ours, theirs = (proposals.logits > 0) & inside, masks > 0.5
    overlap = (ours & theirs).sum((1, 2)) / (ours | theirs).sum((1, 2)).clamp_min(1)
    return dict(
        teacher_valid=pseudo.valid.sum() / max(len(proposals.objects), 1),
        teacher_agreement=(overlap * valid).sum() / valid.sum().clamp_min(1),
    )
