"""Build any detector of mmdet for inference."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.fileio import list_from_file
from mmengine.logging import MMLogger
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import init_default_scope
from torch import Tensor, nn

from mmdet_discobox.models.teachers import ADDITIONS
from mmdet_discobox.utils.types import Json

from .checkpoint_files import read_checkpoint, shape_mismatches
from .config_reading import read_config
from .start_weights import without_start_weights


def build_detector(
    model: str | Path | Config | nn.Module,
    weights: str | Path | None = None,
    device: str | None = None,
) -> Any:
    """Build a detector in evaluation mode.

    Args:
        model: config, path of a config, or a detector from ``mmdet.apis.init_detector``.
        weights: checkpoint; None initialises the weights by the config, which may read or
            download the files of its ``init_cfg``. With a checkpoint nothing else is loaded.
        device: by default the GPU if there is one; a built detector stays on its device.

    Returns:
        The detector, with its config as ``cfg``, and ``dataset_meta`` with its ``classes`` (an
        empty tuple if neither config nor checkpoint name them).

    Raises:
        FileNotFoundError: if the config or the checkpoint does not exist.
        OSError: if the weights of an ``init_cfg`` cannot be loaded.
        TypeError: if ``model`` has another type.
        ValueError: if the config has no model, the checkpoint does not fit it, a built detector
            has no config, or the device cannot be used.
    """
    if isinstance(model, nn.Module):
        if not isinstance(getattr(model, "cfg", None), Config) or weights is not None:
            raise ValueError(
                "Expected a built detector to have its config in `model.cfg`, for the test "
                "pipeline, and its weights, but got none or further ones. Build it with "
                "mmdet.apis.init_detector, and leave `weights` out."
            )
        return model.to(device).eval() if device else model.eval()
    if not isinstance(model, (str, Path, Config)):
        raise TypeError(f"Expected `model` to be a config or a detector but got {type(model)}.")
    if not isinstance(model, Config):
        model = read_config(model, "model")
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    _check_device(device)
    init_default_scope(model.get("default_scope", "mmdet"))
    settings = model.model if weights is None else without_start_weights(model.model)
    detector = revert_sync_batchnorm(MODELS.build(settings))
    detector.cfg = model
    detector.dataset_meta = dict(classes=_classes_of(model))
    if weights is None:
        _init_weights(detector)
    else:
        _load_weights(detector, weights)
    return detector.to(device).eval()


def _check_device(device: str) -> None:
    """Fail before the weights are read; PyTorch raises an AssertionError without CUDA."""
    try:
        torch.empty(0, device=device)
    except (AssertionError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"Expected a device that PyTorch can use here, such as 'cpu', but got '{device}': "
            f"{reason.rstrip('.')}."
        ) from error


def _init_weights(detector: Any) -> None:
    """Initialise the weights by the config, without a log line per parameter."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        detector.init_weights()
    except OSError as error:
        raise OSError(
            f"Expected the weights that the config's {type(detector).__name__} starts from (the "
            f"`checkpoint` of an `init_cfg`) as a file or URL, but: {error}. Without a network, "
            "give a checkpoint, or set `init_cfg` to an existing file."
        ) from error
    finally:
        logger.setLevel(level)


def _load_weights(detector: Any, weights: str | Path) -> None:
    """Load the student, and those additions of the training that fit."""
    checkpoint = read_checkpoint(weights)
    given: dict[str, Tensor] = checkpoint["state_dict"]
    expected = detector.state_dict()
    student = {key for key in expected if not key.startswith(ADDITIONS)}
    if missing := sorted(student - given.keys()):
        raise ValueError(
            f"Expected '{weights}' to be a checkpoint of the config's {type(detector).__name__}, "
            f"but {len(missing)} of its {len(student)} keys are missing, first {missing[0]!r}."
        )
    mismatches = shape_mismatches(given, {key: value.shape for key, value in expected.items()})
    if wrong := [key for key in mismatches if key in student]:
        raise ValueError(
            f"Expected '{weights}' to fit the config's {type(detector).__name__}, but {len(wrong)} "
            f"of its {len(student)} weights have other shapes, first {wrong[0]!r}: "
            f"{mismatches[wrong[0]]}. Use the config of the training."
        )
    for prefix in ADDITIONS:  # each as a whole: half a bank is invalid
        if misfits := [key for key in mismatches if key.startswith(prefix)]:
            warnings.warn(
                f"The config has another `{prefix[:-1]}` than '{weights}' ({misfits[0]!r}: "
                f"{mismatches[misfits[0]]}). It is not loaded, and keeps its initial state.",
                stacklevel=3,
            )
            for key in [key for key in given if key.startswith(prefix)]:
                del given[key]
    detector.load_state_dict(given, strict=False)
    detector.dataset_meta = {**detector.dataset_meta, **_dataset_meta(checkpoint)}


def _dataset_meta(checkpoint: Json) -> Json:
    """Return what a checkpoint says about its data set, also one of mmdet 2.x (``CLASSES``)."""
    meta = _mapping(checkpoint.get("meta"))
    own: Json = {key: value for key, value in meta.items() if key in ("CLASSES", "PALETTE")}
    own.update(_mapping(meta.get("dataset_meta")))
    return {str(key).lower(): value for key, value in own.items() if value is not None}


def _mapping(value: Any) -> Json:
    return dict(value) if isinstance(value, Mapping) else {}


def _classes_of(config: Config) -> tuple[str, ...]:
    dataset = (config.get("test_dataloader") or {}).get("dataset") or {}
    classes = (dataset.get("metainfo") or {}).get("classes") or ()
    if isinstance(classes, str):  # a file with a name per line, which mmengine's data sets read
        try:
            classes = list_from_file(classes)
        except FileNotFoundError:  # of another machine
            classes = ()
    return tuple(classes)
