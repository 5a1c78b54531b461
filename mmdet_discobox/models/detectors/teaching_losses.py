"""Losses and statistics of a training step that need the structured teacher."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from mmdet_discobox.functional import box_masks, cover_centres
from mmdet_discobox.models.teachers import StructuredTeacher, paste_regions
from mmdet_discobox.structures import ContrastivePairs, MaskProposals, PseudoMasks, View

#: statistics of every step
_STATISTICS = ("teacher_valid", "teacher_agreement")


def structured_losses(
    student: View,
    pseudo: PseudoMasks | None,
    width: int,
    *,
    teacher: StructuredTeacher,
    loss_consistency: nn.Module,
    loss_nce: nn.Module | None,
) -> dict[str, Tensor]:
    """Compute ``L_con``, ``L_nce`` and the statistics of a step (Sec. 3.4).

    Args:
        student: view of the student.
        pseudo: refined masks; None while no gate is open: then everything is zero.
        width: of the batch in pixels.
        teacher: the structured teacher, whose running mean of ``teacher_true_iou`` moves.
        loss_consistency: ``L_con``.
        loss_nce: ``L_nce``; None leaves its key out.

    Returns:
        Under constant keys ``loss_con``, ``loss_nce``, ``teacher_valid`` and ``teacher_agreement``;
        with true masks also ``true_masks`` and ``teacher_true_iou``.
    """
    proposals = student.proposals
    zero = _attached_zero(proposals.logits)
    losses = dict(loss_con=zero)
    if loss_nce is not None:
        losses["loss_nce"] = _attached_zero(student.features[0])
    if pseudo is None:
        return {**losses, **dict.fromkeys(_STATISTICS, zero.detach())}
    masks, inside, valid = _paste_on_proposals(pseudo, proposals)
    inds = proposals.object_inds
    is_true = () if pseudo.is_true is None else (pseudo.is_true[inds],)
    losses["loss_con"] = zero + loss_consistency(
        proposals.logits, masks, inside, valid, pseudo.certainty[inds], *is_true
    )
    if loss_nce is not None and pseudo.pairs is not None:
        contrastive = _contrastive_loss(student, pseudo.pairs, width, teacher, loss_nce)
        losses["loss_nce"] = losses["loss_nce"] + contrastive
    losses.update(_statistics(proposals, pseudo, masks, inside, valid))
    if pseudo.is_true is not None:
        losses["true_masks"] = pseudo.is_true.sum() / max(len(proposals.objects), 1)
        losses["teacher_true_iou"] = _true_iou(teacher, pseudo)
    return losses


def _true_iou(teacher: StructuredTeacher, pseudo: PseudoMasks) -> Tensor:
    """Update the agreement of the teacher with true masks, unless it did not refine any."""
    known = pseudo if teacher.consistency_gate.is_open else replace(pseudo, is_true=None)
    return teacher.true_iou.update(known)


def _contrastive_loss(
    student: View, pairs: ContrastivePairs, width: int, teacher: StructuredTeacher, loss: Any
) -> Tensor:
    """Compute ``L_nce``; only the student's features of the sources receive a gradient."""
    features: Any = teacher.roi_features(student.features, student.proposals.objects, width)
    value: Tensor = loss(
        teacher.similarity(features, pairs),
        pairs.correspondences.plan,
        pairs.source_masks.flatten(1),
        pairs.valid,
    )
    return value


def _attached_zero(tensor: Tensor) -> Tensor:
    """Return a zero attached to the tensor's graph without reading its values, which may be inf."""
    return tensor[:0].float().sum()


def _paste_on_proposals(
    pseudo: PseudoMasks, proposals: MaskProposals
) -> tuple[Tensor, Tensor, Tensor]:
    """Paste refined masks and boxes on the grid of the proposals.

    Returns:
        Masks and boxes, ``(N, H, W)`` each, and ``(N,)`` boolean, valid masks. A mask in a box that
        covers no centre of a cell is not valid: it would be empty on this grid, and contradict the
        positive bags of ``L_mil``.
    """
    size = (proposals.logits.shape[-2], proposals.logits.shape[-1])
    masks = paste_regions(pseudo.masks, pseudo.regions / proposals.stride, size)
    boxes = proposals.objects.boxes / proposals.stride
    inside, valid = box_masks(boxes, size), pseudo.valid & cover_centres(boxes)
    inds = proposals.object_inds
    return (masks * inside)[inds], inside[inds], valid[inds]


def _statistics(
    proposals: MaskProposals, pseudo: PseudoMasks, masks: Tensor, inside: Tensor, valid: Tensor
) -> dict[str, Tensor]:
    """Compute ``teacher_valid`` and ``teacher_agreement``, the statistics of a step."""
    student, teacher = (proposals.logits > 0) & inside, masks > 0.5
    overlap = (student & teacher).sum((1, 2)) / (student | teacher).sum((1, 2)).clamp_min(1)
    return dict(
        teacher_valid=pseudo.valid.sum() / max(len(proposals.objects), 1),
        teacher_agreement=(overlap * valid).sum() / valid.sum().clamp_min(1),
    )
