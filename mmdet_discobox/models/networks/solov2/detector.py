"""SOLOv2 as a task network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmdet.models.detectors import SOLOv2
from mmdet.registry import MODELS
from mmengine.structures import InstanceData
from torch import Tensor

from mmdet_discobox.models.detectors import StructuredTeachingMixin, check_module_type
from mmdet_discobox.models.losses import BoxMILLoss
from mmdet_discobox.structures import BoxObjects, MaskProposals, PseudoMasks, View

from .cell_assignment import CellAssignment
from .head import DiscoBoxSOLOv2Head, SOLOv2Outputs


@MODELS.register_module()
class DiscoBoxSOLOv2(StructuredTeachingMixin, SOLOv2):
    """SOLOv2 trained from boxes (Sec. 3); at test time a stock SOLOv2.

    It has a ``DiscoBoxSOLOv2Head`` with an unused ``loss_mask``. Further arguments are those of
    :class:`.StructuredTeachingMixin`.

    Raises:
        TypeError: if the mask head has another class.
        ValueError: if the ``loss_mask`` is a ``BoxMILLoss``, which is the detector's ``loss_mil``.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        check_module_type("mask_head", self.mask_head, DiscoBoxSOLOv2Head)
        if isinstance(self.mask_head.loss_mask, BoxMILLoss):
            raise ValueError(
                "Expected `mask_head.loss_mask` to be that of a stock head, because it is unused, "
                "but got a BoxMILLoss. Move it to `loss_mil` of the detector."
            )

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return int(self.mask_head.num_classes)

    @property
    def feature_channels(self) -> int:
        """Channels of each output of the neck."""
        return int(self.mask_head.in_channels)

    def head_outputs(self, features: Sequence[Tensor]) -> SOLOv2Outputs:
        """Run the mask head."""
        return SOLOv2Outputs(*self.mask_head(features))

    def assign(self, outputs: SOLOv2Outputs, objects: BoxObjects) -> CellAssignment:
        """Assign grid cells around the box centres."""
        return self.mask_head.assign(outputs, objects)

    def mask_proposals(
        self,
        outputs: SOLOv2Outputs,
        positives: CellAssignment,
        objects: BoxObjects,
        frame: tuple[int, int],
        *,
        one_per_object: bool = False,
    ) -> MaskProposals:
        """Predict one mask for each positive cell; ``one_per_object`` would save little."""
        return self.mask_head.mask_proposals(outputs, positives, objects)

    def predict_by_outputs(
        self,
        outputs: SOLOv2Outputs,
        batch_img_metas: Sequence[dict[str, Any]],
        *,
        rescale: bool = True,
    ) -> list[InstanceData]:
        """Predict instances from raw outputs."""
        found: list[InstanceData] = self.mask_head.predict_by_feat(
            *outputs, batch_img_metas=batch_img_metas, rescale=rescale
        )
        return found

    def task_losses(self, view: View, pseudo: PseudoMasks | None) -> dict[str, Tensor]:
        """Compute ``loss_cls``."""
        return dict(loss_cls=self.mask_head.classification_loss(view.outputs, view.positives))
