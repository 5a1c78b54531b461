"""An ONNX file with the config of its network, run by ONNX Runtime on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import Tensor, nn

from mmdet_discobox.checkpoints import parse_config
from mmdet_discobox.utils.types import Json

#: metadata of the file: text of the config
CONFIG = "mmdet_discobox.config"
#: parts of a model that are in the file, or that only training has
_WITHOUT: Json = dict(teacher_network=None, loss_nce=None, colour_jitter=None, true_masks=False)


class OnnxSession:
    """Run an exported network.

    Nothing in the file is executed but its graph; its config is read as text.

    Args:
        path: file of :func:`.export_onnx`.
        threads: threads of ONNX Runtime; None takes as many as torch has.

    Raises:
        FileNotFoundError: if the file does not exist.
        ImportError: if ONNX Runtime, in the extra ``[deploy]``, is not installed.
        ValueError: if the file is no network that this package exported.
    """

    def __init__(self, path: str | Path, *, threads: int | None = None) -> None:
        if not Path(path).is_file():
            raise FileNotFoundError(f"Expected an ONNX file at '{path}', but there is none.")
        self._session = _open(path, threads or torch.get_num_threads())
        text = self._session.get_modelmeta().custom_metadata_map.get(CONFIG)
        if text is None:
            raise ValueError(
                f"Expected '{path}' to be a file of tools/export_onnx.py, which has the config of "
                "its network, but it has none. Export the network again."
            )
        self.config: Config = parse_config(text)
        init_default_scope("mmdet")
        self._inputs = {value.name for value in self._session.get_inputs()}
        self._outputs = [value.name for value in self._session.get_outputs()]

    def __call__(self, **tensors: Tensor) -> dict[str, Tensor]:
        """Run the network.

        Args:
            **tensors: the inputs; further tensors, which the network does not read, are ignored.

        Returns:
            The outputs by their names, in the order of the network.
        """
        arrays = {name: np.asarray(value.cpu()) for name, value in tensors.items()}
        feed = {name: array for name, array in arrays.items() if name in self._inputs}
        found = self._session.run(self._outputs, feed)
        device = next(iter(tensors.values())).device
        return {
            name: torch.from_numpy(array).to(device)
            for name, array in zip(self._outputs, found, strict=True)
        }


def without_weights(model: Json) -> Json:
    """Return the config of a model without the layers that are in the ONNX file.

    Args:
        model: config of the model.
    """
    identity = dict(type=nn.Identity)
    return {**model, "backbone": identity, "neck": identity, **_WITHOUT}


def _open(path: str | Path, threads: int) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise ImportError(
            f"ONNX files need ONNX Runtime, which is not installed ({error}). Install it with: "
            "pip install 'mmdet_discobox[deploy]'"
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001  # its errors have no common class
        raise ValueError(
            f"Expected '{path}' to be an ONNX file, but ONNX Runtime cannot read it: {error}"
        ) from error
