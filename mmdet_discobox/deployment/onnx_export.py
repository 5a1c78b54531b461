"""Export the layers of any task network to ONNX."""

from __future__ import annotations

import inspect
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch
from mmdet.utils import get_test_pipeline_cfg
from mmengine.config import Config
from torch import Tensor, nn

from mmdet_discobox.models.detectors import StructuredTeachingMixin
from mmdet_discobox.models.networks import DiscoBoxLabeler
from mmdet_discobox.structures import BoxObjects
from mmdet_discobox.utils.files import write_bytes

from .onnx_session import CONFIG
from .raw_outputs import flatten_outputs

OPSET = 17
#: sides of the image that the exporter traces; any other image runs as well
_TRACED = (256, 320)


def export_onnx(model: Any, path: str | Path) -> None:
    """Write backbone, neck and heads of a network as one ONNX file.

    A detector becomes ``images`` ``(B, 3, H, W)``, normalised and padded, to the raw outputs of its
    heads (:meth:`.TaskNetwork.head_outputs`), each named by its path. A box labeller becomes
    ``images`` and ``boxes`` ``(B, 4)``, one in the pixels of each crop, to ``logits``
    ``(B, h, w)``; with classes, ``labels`` ``(B,)`` as well. Batch, height and width are free. The
    file has the config and the classes for :class:`.OnnxDetector` and :class:`.OnnxLabeler`.

    Args:
        model: a trained network from :func:`.build_detector`; its device and mode stay.
        path: file to write.

    Raises:
        ImportError: if onnx, in the extra ``[deploy]``, is not installed.
        ValueError: if the model is no task network, or a layer does not export, as the deformable
            convolutions of mmcv.
    """
    if not isinstance(model, StructuredTeachingMixin):
        raise ValueError(
            f"Expected a network of this package but got {type(model).__name__}. Export the "
            "detectors of mmdet by mmdeploy."
        )
    network: Any = model
    device, training = next(network.parameters()).device, network.training
    graph, inputs, names = _graph(network.cpu().eval())
    axes = {"images": {0: "batch", 2: "height", 3: "width"}}
    axes.update({name: {0: "batch"} for name in ("boxes", "labels")})
    with tempfile.TemporaryDirectory() as folder:
        traced = Path(folder) / "network.onnx"
        try:
            with torch.no_grad(), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of the tracer, about checks of shapes
                torch.onnx.export(
                    graph.eval(),
                    tuple(inputs.values()),
                    str(traced),
                    input_names=list(inputs),
                    output_names=names,
                    dynamic_axes=axes,
                    opset_version=OPSET,
                    **_tracing(),
                )
        except RuntimeError as error:  # torch.onnx.errors are RuntimeErrors
            raise ValueError(
                f"Expected layers of {type(model).__name__} that ONNX has, but: {error}"
            ) from error
        finally:
            network.to(device).train(training)
        _write(traced, Path(path), {CONFIG: _config(model).pretty_text})


class _Detector(nn.Module):
    """Images to raw outputs."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        outputs = self.network.head_outputs(self.network.extract_feat(images))
        return tuple(flatten_outputs(outputs).values())


class _Labeler(nn.Module):
    """Crops and the box in each to logits of masks."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor, boxes: Tensor, labels: Tensor) -> Tensor:
        crops = torch.arange(images.shape[0])
        size = (images.shape[-2], images.shape[-1])
        objects = BoxObjects(boxes, labels, crops, image_sizes=boxes[:, 2:], image_ids=crops)
        outputs = self.network.head_outputs(self.network.extract_feat(images))
        logits: Tensor = self.network.mask_proposals(outputs, crops, objects, size).logits
        return logits


def _graph(model: Any) -> tuple[nn.Module, dict[str, Tensor], list[str]]:
    """Return the module to export, its inputs by name, and the names of its outputs."""
    if isinstance(model, DiscoBoxLabeler):
        side = model.crop_size
        boxes = torch.tensor([[0.1, 0.2, 0.8, 0.9]] * 2) * side
        images = torch.zeros(2, 3, side, side)
        inputs = dict(images=images, boxes=boxes, labels=torch.zeros(2, dtype=torch.long))
        return _Labeler(model.teaching_network), inputs, ["logits"]
    images = torch.zeros(2, 3, *_TRACED)
    with torch.no_grad():
        names = list(flatten_outputs(model.head_outputs(model.extract_feat(images))))
    return _Detector(model), dict(images=images), names


def _config(model: Any) -> Config:
    """Return what prediction needs: the model, its test pipeline and its classes."""
    cfg = model.cfg
    config = dict(model=cfg.model, classes=tuple(model.dataset_meta.get("classes") or ()))
    if not isinstance(model, DiscoBoxLabeler):
        pipeline = list(get_test_pipeline_cfg(cfg))
        config["test_dataloader"] = dict(dataset=dict(pipeline=pipeline))
    return Config(config)


def _tracing() -> dict[str, Any]:
    """Choose the exporter that traces, where torch has two: the other fixes sizes of mmdet."""
    parameters = inspect.signature(torch.onnx.export).parameters
    return dict(dynamo=False) if "dynamo" in parameters else {}


def _write(traced: Path, path: Path, metadata: dict[str, str]) -> None:
    try:
        import onnx
    except ImportError as error:
        raise ImportError(
            f"Exporting needs onnx, which is not installed ({error}). Install it with: pip install "
            "'mmdet_discobox[deploy]'"
        ) from error
    file = onnx.load(str(traced))
    onnx.checker.check_model(file)
    if own := sorted({f"{n.domain}::{n.op_type}" for n in file.graph.node if n.domain}):
        raise ValueError(
            f"Expected layers that ONNX has, but the network has others: {', '.join(own)}. Train "
            "it without them, for instance without deformable convolutions."
        )
    onnx.helper.set_model_props(file, metadata)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, file.SerializeToString())
