"""The contract of a task network: everything that DiscoBox requires of one.

"DiscoBox is agnostic to the task networks" (Sec. 3.1). To train another one-stage network of mmdet
from boxes, define ``class DiscoBoxX(StructuredTeachingMixin, X)``, register it in ``MODELS``, and
implement the members of :class:`TaskNetwork`. ``networks/condinst.py`` is a complete example. With
a small config of it in ``NETWORKS`` of ``tests/tiny.py``, the tests of all networks run on it.

In a training step, :class:`.StructuredTeachingMixin` uses these members in three acts:

1. Look (student, then teacher network): ``extract_feat``, ``head_outputs``, ``assign`` (student
   only) and ``mask_proposals``, in the order of :func:`look`. Labelling and matching do the same.
2. Teach: the structured teacher refines the proposals of the teacher network. It runs no network.
3. Losses (student): ``task_losses``. The mixin computes ``L_mil``, ``L_con`` and ``L_nce`` from the
   proposals.

No member may read masks, or store tensors of a step in an attribute. At test time the network
predicts with the methods of mmdet.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from mmengine.structures import InstanceData
from torch import Tensor

from mmdet_discobox.structures import BoxObjects, MaskProposals, PseudoMasks, View


class TaskNetwork(Protocol):
    """A one-stage instance segmentation network that can be trained from boxes.

    The types of ``outputs`` and ``positives`` are its own: no other code reads them.
    """

    @property
    def num_classes(self) -> int | None:
        """Number of classes C; labels are in [0, C). None for a network that knows no classes."""

    @property
    def feature_channels(self) -> int:
        """Channels of each output of the neck, which the object bank stores."""

    def extract_feat(self, batch_inputs: Tensor) -> Sequence[Tensor]:
        """Run backbone and neck. Inherited: every detector of mmdet has this method.

        Args:
            batch_inputs: ``(B, 3, H, W)`` normalised images.

        Returns:
            Feature maps ``(B, C, h, w)``, from fine to coarse.
        """

    def head_outputs(self, features: Sequence[Tensor]) -> Any:
        """Run the heads, of the student in training mode, else in evaluation mode.

        Mask logits must not depend on the mode. Some heads of mmdet apply a sigmoid or suppress
        scores where ``self.training`` is False: call their layers instead.

        Args:
            features: outputs of :meth:`extract_feat`.

        Returns:
            Raw outputs, the ``outputs`` of the other methods.
        """

    def assign(self, outputs: Any, objects: BoxObjects) -> Any:
        """Assign places (cells, anchors, points) to the objects of a batch, from boxes alone.

        An object may have several places, or none.

        Args:
            outputs: raw outputs of the heads; their shapes are the sizes of the grids.
            objects: the G objects.

        Returns:
            The positive places and their objects, for example :class:`.Positives`. The teacher
            network uses the assignment of the student, so it must not contain predictions.
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
            outputs: raw outputs of the heads.
            positives: result of :meth:`assign`, possibly of the student.
            objects: the objects that were assigned.
            frame: ``(height, width)`` of the padded batch in pixels.
            one_per_object: whether the caller averages the logits of each object. If they are
                linear in the mask kernels, the network may average the kernels instead and return
                one mask per object. Always False for the training masks of the student.

        Returns:
            Mask logits, differentiable in ``outputs``. With no positive place they are empty but
            part of the graph.
        """

    def task_losses(self, view: View, pseudo: PseudoMasks | None) -> dict[str, Tensor]:
        """Compute the losses that belong to this network alone: ``L_det`` and its additions.

        Args:
            view: view of the student.
            pseudo: refined masks of the objects; None without a structured teacher, or while the
                gate of ``L_con`` is closed.

        Returns:
            Scalars under constant keys, part of the graph even if the batch has no object.
        """


class DetectingNetwork(TaskNetwork, Protocol):
    """A task network that detects; :class:`.OnnxDetector` needs it, training does not."""

    def predict_by_outputs(
        self, outputs: Any, batch_img_metas: Sequence[dict[str, Any]], *, rescale: bool = True
    ) -> list[InstanceData]:
        """Predict instances from raw outputs, as :meth:`predict` does after running the heads.

        It may not use weights: exported heads are in the ONNX file.

        Args:
            outputs: raw outputs of the heads in evaluation mode. Those of ONNX Runtime have the
                fields and the order of :meth:`head_outputs`, but other classes.
            batch_img_metas: meta information of the images.
            rescale: whether boxes and masks have the original size of the images.
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
        network: the student or the teacher network.
        batch_inputs: ``(B, 3, H, W)`` normalised images.
        objects: the ground-truth objects of the images.
        positives: an existing assignment; None computes it.
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
