"""What turns a one-stage instance segmentor into a DiscoBox: one mixin for every task network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmdet.models.detectors.single_stage_instance_seg import SingleStageInstanceSegmentor
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.utils import ConfigType, OptConfigType
from torch import Tensor

from mmdet_discobox.models.teachers import TeacherNetwork, crop_regions
from mmdet_discobox.structures import MaskProposals, PseudoMasks


class StructuredTeachingMixin(SingleStageInstanceSegmentor):
    """Student, teacher network and structured teacher in one training step (Fig. 2).

    A subclass inherits from this and from its task network, in that order; the network's mask head
    has ``loss_and_proposals`` and ``propose``.

    Args:
        *args: arguments of the task network.
        structured_teacher: config of the ``StructuredTeacher``; ``None`` trains by multiple
            instance learning alone.
        loss_consistency: config of ``L_con``, a ``MaskConsistencyLoss``.
        teacher_network: arguments of :class:`TeacherNetwork`; ``None`` lets the student's own
            masks be refined. It starts to teach with its first update by a ``TeacherEMAHook``.
        **kwargs: keyword arguments of the task network.

    Raises:
        ValueError: if ``teacher_network`` is given without a ``structured_teacher``.
    """

    def __init__(
        self,
        *args: Any,
        structured_teacher: OptConfigType = None,
        loss_consistency: ConfigType = dict(type="MaskConsistencyLoss"),  # noqa: B006
        teacher_network: OptConfigType = None,
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
        if structured_teacher is not None:
            self.structured_teacher = MODELS.build(structured_teacher)
            self.loss_consistency = MODELS.build(loss_consistency)

    def loss(
        self, batch_inputs: Tensor, batch_data_samples: Sequence[DetDataSample], **_: Any
    ) -> dict[str, Tensor]:
        """Compute all losses of Sec. 3.4.

        Args:
            batch_inputs: ``(B, 3, H, W)`` normalised images.
            batch_data_samples: their boxes and labels; masks are not looked at.

        Returns:
            Losses under keys that never change, and two figures for the log: ``teacher_valid``,
            the share of objects whose refined mask may teach, and ``teacher_agreement``, their
            mean IoU with the student's masks. While the gate of ``L_con`` is shut, these are 0.
        """
        features = self.extract_feat(batch_inputs)
        losses, proposals = self.mask_head.loss_and_proposals(features, batch_data_samples)
        if self.structured_teacher is not None:
            losses.update(self._structured_losses(proposals, batch_inputs, batch_data_samples))
        return losses

    def _structured_losses(
        self,
        proposals: MaskProposals,
        batch_inputs: Tensor,
        batch_data_samples: Sequence[DetDataSample],
    ) -> dict[str, Tensor]:
        zero = proposals.logits.sum() * 0
        if not self.structured_teacher.consistency_gate.is_open:
            figure = zero.detach()
            return dict(loss_con=zero, teacher_valid=figure, teacher_agreement=figure)
        pseudo = self._teach(proposals, batch_inputs, batch_data_samples)
        rows = torch.arange(len(proposals), device=batch_inputs.device)
        students = crop_regions(
            proposals.logits[:, None],
            pseudo.regions[proposals.object_inds] / proposals.stride,
            rows,
            self.structured_teacher.crop_size,
        )[:, 0]  # (N, S, S)
        loss = self.loss_consistency(
            students,
            pseudo.masks[proposals.object_inds],
            pseudo.inside[proposals.object_inds],
            pseudo.valid[proposals.object_inds],
        )
        return dict(loss_con=loss + zero, **_figures(students.detach(), proposals, pseudo))

    @torch.no_grad()
    def teach(
        self, batch_inputs: Tensor, batch_data_samples: Sequence[DetDataSample]
    ) -> PseudoMasks:
        """Return the masks that the teacher would teach for these boxes now.

        Args:
            batch_inputs: ``(B, 3, H, W)`` normalised images.
            batch_data_samples: their boxes and labels.
        """
        proposals = self.mask_head.propose(self.extract_feat(batch_inputs), batch_data_samples)
        return self._teach(proposals, batch_inputs, batch_data_samples)

    @torch.no_grad()
    def _teach(
        self,
        proposals: MaskProposals,
        batch_inputs: Tensor,
        batch_data_samples: Sequence[DetDataSample],
    ) -> PseudoMasks:
        """Refine masks of the teacher network (``proposals`` of the student before it starts)."""
        if self.teacher is not None and self.teacher.started:
            network = self.teacher.module
            proposals = network.mask_head.propose(
                network.extract_feat(batch_inputs), batch_data_samples
            )
        logits, predicted = proposals.per_object()
        return self.structured_teacher(
            logits,
            predicted,
            proposals.objects,
            self._rgb(batch_inputs),
            stride=proposals.stride,
        )

    def _rgb(self, batch_inputs: Tensor) -> Tensor:
        """Undo the data preprocessor: RGB in [0, 255].

        mmdet's loaders give BGR; a preprocessor that swaps the channels has made it RGB.
        """
        preprocessor = self.data_preprocessor
        images = batch_inputs.float()
        if preprocessor._enable_normalize:
            images = images * preprocessor.std + preprocessor.mean
        return images if preprocessor._channel_conversion else images.flip(1)


def _figures(students: Tensor, proposals: MaskProposals, pseudo: PseudoMasks) -> dict[str, Tensor]:
    """Share of valid masks among the objects, and their agreement with the student."""
    valid = pseudo.valid[proposals.object_inds]
    ours, theirs = students > 0, pseudo.masks[proposals.object_inds] > 0.5
    ours = ours & pseudo.inside[proposals.object_inds]
    overlap = (ours & theirs).sum((1, 2)) / (ours | theirs).sum((1, 2)).clamp_min(1)
    return dict(
        teacher_valid=pseudo.valid.sum() / max(len(proposals.objects), 1),
        teacher_agreement=(overlap * valid).sum() / valid.sum().clamp_min(1),
    )
