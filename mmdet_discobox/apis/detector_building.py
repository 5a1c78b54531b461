"""Build any detector of mmdet for inference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import init_default_scope
from torch import nn

from .checkpoint_files import read_checkpoint

#: what a published student does not have, and inference can do without
_OF_TRAINING = ("teacher.", "structured_teacher.")


def build_detector(
    model: str | Path | Config | nn.Module,
    weights: str | Path | None = None,
    device: str | None = None,
) -> Any:
    """Build a detector, or take one that is built.

    Args:
        model: config, its path, or a detector that ``mmdet.apis.init_detector`` made.
        weights: checkpoint; None leaves what the config loads by itself, such as a backbone.
        device: default is the GPU if there is one, or where a built detector is.

    Returns:
        The detector in evaluation mode, with its config in ``cfg`` and in ``dataset_meta`` its
        ``classes``, an empty tuple if no file tells.

    Raises:
        FileNotFoundError: if config or checkpoint are not there.
        TypeError: if the model is none of these.
        ValueError: if the checkpoint is of another model, or a built detector has no config.
    """
    if isinstance(model, nn.Module):
        if not isinstance(getattr(model, "cfg", None), Config) or weights is not None:
            raise ValueError(
                "Expected a built detector to have its config in `model.cfg`, whose test pipeline "
                "reads the images, and its weights. mmdet.apis.init_detector makes one that does."
            )
        return model.to(device).eval() if device else model.eval()
    if not isinstance(model, (str, Path, Config)):
        raise TypeError(f"Expected `model` to be a config or a detector but got {type(model)}.")
    if not isinstance(model, Config):
        if not Path(model).is_file():
            raise FileNotFoundError(f"Expected a config at '{model}', but there is no such file.")
        model = Config.fromfile(model)
    init_default_scope(model.get("default_scope", "mmdet"))
    detector = revert_sync_batchnorm(MODELS.build(model.model))
    detector.cfg = model
    detector.dataset_meta = dict(classes=_classes_of(model))
    if weights is not None:
        _load(detector, weights)
    return detector.to(device or ("cuda" if torch.cuda.is_available() else "cpu")).eval()


def _load(detector: Any, weights: str | Path) -> None:
    checkpoint = read_checkpoint(weights)
    needed = {k for k in detector.state_dict() if not k.startswith(_OF_TRAINING)}
    missing = sorted(needed - checkpoint["state_dict"].keys())
    if missing:
        raise ValueError(
            f"Expected '{weights}' to be a checkpoint of the config's {type(detector).__name__}, "
            f"but {len(missing)} of its {len(needed)} keys are missing, first {missing[0]!r}."
        )
    detector.load_state_dict(checkpoint["state_dict"], strict=False)
    meta = (checkpoint.get("meta") or {}).get("dataset_meta") or {}
    detector.dataset_meta = {**detector.dataset_meta, **meta}


def _classes_of(config: Config) -> tuple[str, ...]:
    dataset = (config.get("test_dataloader") or {}).get("dataset") or {}
    return tuple((dataset.get("metainfo") or {}).get("classes") or ())
