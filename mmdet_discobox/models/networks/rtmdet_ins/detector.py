"""RTMDet-Ins as a task network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mmdet.models.detectors import RTMDet
from mmdet.registry import MODELS
from mmengine.structures import InstanceData
from torch import Tensor

from mmdet_discobox.models.detectors import StructuredTeachingMixin, check_module_type
from mmdet_discobox.models.networks.positives import Positives
from mmdet_discobox.structures import BoxObjects, MaskProposals, PseudoMasks, View

from .head import DiscoBoxRTMDetInsHead, DiscoBoxRTMDetInsSepBNHead, RTMDetInsOutputs
from .prior_assignment import PriorTargets


@dataclass(frozen=True)
class TrainingProposals(MaskProposals):
    """Training masks of the student, with the targets that selected their priors.

    Attributes:
        targets: the targets of boxes and classes.
    """

    targets: PriorTargets


@MODELS.register_module()
class DiscoBoxRTMDetIns(StructuredTeachingMixin, RTMDet):
    """RTMDet-Ins trained from boxes (Sec. 3); at test time a stock RTMDet-Ins.

    Not in the paper. RTMDet selects the priors of an object by its predictions; two sets of priors
    therefore take part:

    - The shared assignment has one prior per object, decided by the box alone. The teacher network
      and auto-labelling predict one mask per box there, so no object is lost.
    - The training masks of the student are those at the priors of this assignment and at the priors
      that its own predictions select, which also train boxes and classes and predict at test time.

    It has a ``DiscoBoxRTMDetInsHead`` or a ``DiscoBoxRTMDetInsSepBNHead``. mmdet's configs average
    the weights with an ``EMAHook``; remove it, because the teacher network is this average, and
    an average of the detector would contain a second copy of it and of the object bank. Further
    arguments are those of :class:`.StructuredTeachingMixin`.

    Raises:
        TypeError: if the head has another class.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not isinstance(self.bbox_head, DiscoBoxRTMDetInsHead):
            check_module_type("bbox_head", self.bbox_head, DiscoBoxRTMDetInsSepBNHead)

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return int(self.bbox_head.num_classes)

    @property
    def feature_channels(self) -> int:
        """Channels of each output of the neck."""
        return int(self.bbox_head.in_channels)

    def head_outputs(self, features: Sequence[Tensor]) -> RTMDetInsOutputs:
        """Run the head."""
        outputs: RTMDetInsOutputs = self.bbox_head.outputs(features)
        return outputs

    def assign(self, outputs: RTMDetInsOutputs, objects: BoxObjects) -> Positives:
        """Assign the prior nearest to the centre of each box."""
        nearest: Positives = self.bbox_head.assign(outputs, objects)
        return nearest

    def mask_proposals(
        self,
        outputs: RTMDetInsOutputs,
        positives: Positives,
        objects: BoxObjects,
        frame: tuple[int, int],
        *,
        one_per_object: bool = False,
    ) -> MaskProposals:
        """Predict the mask of each object at its nearest prior.

        Unless ``one_per_object``, also predict masks at the priors that the outputs select; the
        result is a :class:`TrainingProposals`. The dynamic layers are not linear in their kernels,
        so masks are never averaged.
        """
        head = self.bbox_head
        stride = float(head.mask_loss_stride)
        if one_per_object:
            logits = head.mask_logits(outputs, positives, objects)
            return MaskProposals(logits, positives.object_inds, objects, stride)
        targets: PriorTargets = head.targets(outputs, positives, objects)
        chosen = targets.positives.subsample(head.max_masks_per_image)
        logits = head.mask_logits(outputs, chosen, objects)
        return TrainingProposals(logits, chosen.object_inds, objects, stride, targets)

    def predict_by_outputs(
        self,
        outputs: RTMDetInsOutputs,
        batch_img_metas: Sequence[dict[str, Any]],
        *,
        rescale: bool = True,
    ) -> list[InstanceData]:
        """Predict instances from raw outputs."""
        found: list[InstanceData] = self.bbox_head.predict_by_feat(
            *outputs, batch_img_metas=batch_img_metas, rescale=rescale
        )
        return found

    def task_losses(self, view: View, pseudo: PseudoMasks | None) -> dict[str, Tensor]:
        """Compute ``loss_cls`` and ``loss_bbox``."""
        proposals: Any = view.proposals
        losses: dict[str, Tensor] = self.bbox_head.losses(
            view.outputs, proposals.targets, proposals.objects
        )
        return losses
