"""A detector whose layers are run by ONNX Runtime, and its post-processing by mmdet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from mmdet.models.detectors.base import BaseDetector
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from torch import Tensor

from mmdet_discobox.utils.types import Json, type_name

from .onnx_session import OnnxSession, without_weights
from .raw_outputs import unflatten_outputs


@MODELS.register_module()
class OnnxDetector(BaseDetector):
    """Predict with an exported network, as a detector of mmdet that cannot be trained.

    It works with ``inference_detector`` and, as the ``model`` of a config, in a test loop::

        from mmdet.apis import inference_detector
        result = inference_detector(OnnxDetector("student.onnx"), "image.jpg")

    Boxes and masks are computed from the raw outputs by the methods of mmdet's heads, which need no
    weights. Neither the re-scoring of YOLACT++ nor a ``prediction_refiner`` is applied.

    Args:
        path: file of :func:`.export_onnx`.
        threads: threads of ONNX Runtime; None takes as many as torch has.

    Raises:
        FileNotFoundError: if the file does not exist.
        ImportError: if ONNX Runtime, in the extra ``[deploy]``, is not installed.
        ValueError: if the file is of a box labeller, or of another tool.
    """

    def __init__(self, path: str | Path, *, threads: int | None = None) -> None:
        session = OnnxSession(path, threads=threads)
        model = session.config.model
        if "test_dataloader" not in session.config:
            raise ValueError(
                f"Expected '{path}' to be a detector but got a {type_name(model['type'])}, which "
                "labels given boxes: use it with tools/autolabel.py --onnx."
            )
        super().__init__(data_preprocessor=model.data_preprocessor)
        self.session = session
        self.cfg = session.config
        self.dataset_meta = dict(classes=session.config.classes)
        self.network = MODELS.build(_heads_alone(model)).eval()

    def predict(
        self, batch_inputs: Tensor, batch_data_samples: Sequence[DetDataSample], **kwargs: Any
    ) -> list[DetDataSample]:
        """Predict the instances of a batch.

        Args:
            batch_inputs: ``(B, 3, H, W)`` normalised images.
            batch_data_samples: their meta information.
            **kwargs: ``rescale``, whether masks have the original size of the images.
        """
        outputs = unflatten_outputs(self.session(images=batch_inputs))
        metas = [sample.metainfo for sample in batch_data_samples]
        results = self.network.predict_by_outputs(outputs, metas, **kwargs)
        samples: list[DetDataSample] = self.add_pred_to_datasample(batch_data_samples, results)
        return samples

    def extract_feat(self, batch_inputs: Tensor) -> NoReturn:
        """Raise: features are inside of the file."""
        raise ValueError("Expected a network in PyTorch for its features, but this one is in ONNX.")

    def loss(self, *_: Any, **__: Any) -> NoReturn:
        """Raise: an exported network cannot be trained."""
        raise ValueError("Expected a network in PyTorch to train, but this one is in ONNX.")

    def _forward(self, *_: Any, **__: Any) -> NoReturn:
        self.extract_feat(*_)


def _heads_alone(model: Json) -> Json:
    """Return the config of the heads, without what needs weights or a teacher."""
    config = without_weights(model)
    config.update(structured_teacher=None, prediction_refiner=None)
    mask_head = dict(config.get("mask_head") or {})
    switched_off = {"rescoring": None, "with_seg_branch": False}
    mask_head.update({key: off for key, off in switched_off.items() if key in mask_head})
    return {**config, "mask_head": mask_head} if mask_head else config
