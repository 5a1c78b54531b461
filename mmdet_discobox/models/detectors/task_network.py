"""The contract of a task network: everything that DiscoBox asks of one, in one place.

"DiscoBox is agnostic to the task networks" (Sec. 3.1). To plug in another one, inherit from
:class:`.StructuredTeachingMixin` and from mmdet's detector, in that order, and implement the
members of :class:`TaskNetwork`; ``models/networks`` has one folder or file per network. The mixin
asks the same members of the student and of its average, and :func:`look` calls them in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from torch import Tensor

from mmdet_discobox.structures import BoxObjects, MaskProposals, PseudoMasks, View


class TaskNetwork(Protocol):
    """A one-stage instance segmentation network that can be trained from boxes.

    Attributes:
        num_classes: number of classes C; labels are in [0, C).
        feature_channels: channels of each output of the neck, for the object bank.
    """

    @property
    def num_classes(self) -> int: ...  # noqa: D102

    @property
    def feature_channels(self) -> int: ...  # noqa: D102

    def extract_feat(self, batch_inputs: Tensor) -> Sequence[Tensor]:
        """Run backbone and neck; every detector of mmdet has this method.

        Args:
            batch_inputs: ``(B, 3, H, W)`` normalised images.
        """

    def head_outputs(self, features: Sequence[Tensor]) -> Any:
        """Run the heads.

        Args:
            features: outputs of the neck.

        Returns:
            Anything; it is passed to the methods below and read by nothing else.
        """

    def assign(self, outputs: Any, objects: BoxObjects) -> Any:
        """Assign places (cells, anchors, priors) to the objects of a batch, from boxes alone.

        Args:
            outputs: of :meth:`head_outputs`.
            objects: the G objects.

        Returns:
            Positive places, without values of the network, so that its average can share them.
        """

    def mask_proposals(
        self,
        outputs: Any,
        positives: Any,
        objects: BoxObjects,
        frame: tuple[int, int],
        *,
        one_per_object: bool = False,
    ) -> MaskProposals:
        """Predict the masks at the positive places.

        Args:
            outputs: of :meth:`head_outputs`.
            positives: of :meth:`assign`.
            objects: the objects that were assigned.
            frame: ``(height, width)`` of the padded batch in pixels.
            one_per_object: whether the caller averages the logits of each object. A network whose
                logits are linear in its kernels may then average the kernels instead, which costs
                one mask per object. The student's training masks are never averaged.

        Returns:
            Mask logits, differentiable in the outputs.
        """

    def task_losses(self, view: View, pseudo: PseudoMasks | None) -> dict[str, Tensor]:
        """Compute the losses that belong to this network alone: ``L_det`` and its additions.

        Args:
            view: of the student on the batch.
            pseudo: the refined masks of the objects; None without a structured teacher and while
                the gate of ``L_con`` is shut.

        Returns:
            Losses under constant keys, each part of the graph whatever the images hold.
        """


def look(
    network: TaskNetwork,
    batch_inputs: Tensor,
    objects: BoxObjects,
    *,
    positives: Any = None,
    one_per_object: bool = False,
) -> View:
    """Run a network once on a batch and predict the masks of its objects.

    Args:
        network: the student or its average.
        batch_inputs: ``(B, 3, H, W)`` normalised images.
        objects: their objects.
        positives: an assignment to share; None lets the network assign.
        one_per_object: see :meth:`TaskNetwork.mask_proposals`.
    """
    features = network.extract_feat(batch_inputs)
    outputs = network.head_outputs(features)
    if positives is None:
        positives = network.assign(outputs, objects)
    frame = (batch_inputs.shape[-2], batch_inputs.shape[-1])
    proposals = network.mask_proposals(
        outputs, positives, objects, frame, one_per_object=one_per_object
    )
    return View(features, outputs, positives, proposals)
