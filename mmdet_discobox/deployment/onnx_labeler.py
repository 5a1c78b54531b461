"""A box labeller whose layers are run by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from mmdet_discobox.models.networks import DiscoBoxLabeler
from mmdet_discobox.structures import BoxObjects, MaskProposals
from mmdet_discobox.utils.types import type_name

from .onnx_session import OnnxSession, without_weights


class OnnxLabeler(DiscoBoxLabeler):
    """Segment the objects of given boxes with an exported labeller.

    It takes the place of the labeller in PyTorch::

        labeler = AutoLabeler(OnnxLabeler("labeler.onnx"))

    Cutting of crops and the structured teacher stay in PyTorch.

    Args:
        path: file of :func:`.export_onnx`.
        threads: threads of ONNX Runtime; None takes as many as torch has.

    Attributes:
        classes: names of its classes, empty if it labels objects of any class.

    Raises:
        FileNotFoundError: if the file does not exist.
        ImportError: if ONNX Runtime, in the extra ``[deploy]``, is not installed.
        ValueError: if the file is of a detector, or of another tool.
    """

    def __init__(self, path: str | Path, *, threads: int | None = None) -> None:
        session = OnnxSession(path, threads=threads)
        model = without_weights(session.config.model)
        name = type_name(model.pop("type"))
        if name != DiscoBoxLabeler.__name__:
            raise ValueError(
                f"Expected '{path}' to be a box labeller but got a {name}, which detects. Export a "
                f"{DiscoBoxLabeler.__name__}."
            )
        teacher = model.get("structured_teacher")
        if teacher is not None:  # its masks of crops are refined without other images
            model["structured_teacher"] = {**teacher, "cross_image": None}
        super().__init__(**model)
        self.session = session
        self.classes: tuple[str, ...] = tuple(session.config.classes)

    def extract_feat(self, batch_inputs: Tensor) -> tuple[Tensor]:
        """Return the crops: nothing is computed before their boxes are known."""
        return (batch_inputs,)

    def head_outputs(self, features: Sequence[Tensor]) -> Tensor:
        """Return the crops."""
        return features[0]

    def mask_proposals(
        self,
        outputs: Tensor,
        positives: Tensor,
        objects: BoxObjects,
        frame: tuple[int, int],
        **_: Any,
    ) -> MaskProposals:
        """Predict the mask of the one object of every crop."""
        found = self.session(images=outputs, boxes=objects.boxes, labels=objects.labels)
        stride = frame[1] / found["logits"].shape[-1]
        return MaskProposals(found["logits"], positives, objects, stride)
