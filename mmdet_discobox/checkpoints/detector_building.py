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
from mmengine.logging import MMLogger
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import init_default_scope
from torch import Tensor, nn

from .checkpoint_files import ADDITIONS, read_checkpoint


def build_detector(
    model: str | Path | Config | nn.Module,
    weights: str | Path | None = None,
    device: str | None = None,
) -> Any:
    """Build a detector, or take one that is built.

    Args:
        model: config, its path, or a detector that ``mmdet.apis.init_detector`` made.
        weights: checkpoint; None leaves what the config loads by itself, such as a backbone. Only
            then are the files of its ``init_cfg`` read, or downloaded.
        device: default is the GPU if there is one, or where a built detector is.

    Returns:
        The detector in evaluation mode, with its config in ``cfg`` and in ``dataset_meta`` its
        ``classes``, an empty tuple if no file tells.

    Raises:
        FileNotFoundError: if config or checkpoint are not there.
        OSError: if the config loads something by itself, and that cannot be had.
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
    if weights is None:
        _start(detector)
    else:
        _load(detector, weights)
    return detector.to(device or ("cuda" if torch.cuda.is_available() else "cpu")).eval()


def _start(detector: Any) -> None:
    """Give a detector the weights that its config names."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.WARNING)  # mmengine would tell of every parameter
    try:
        detector.init_weights()
    except OSError as error:
        raise OSError(
            f"Expected the weights that the config's {type(detector).__name__} starts from (the "
            f"`checkpoint` of an `init_cfg`) on this machine or in the network, but: {error}. "
            "Without a network, give a checkpoint, or set `init_cfg` to a file that is there."
        ) from error
    finally:
        logger.setLevel(level)


def _load(detector: Any, weights: str | Path) -> None:
    """Load the student, and of what only training adds the parts that fit."""
    checkpoint = read_checkpoint(weights)
    given: dict[str, Tensor] = checkpoint["state_dict"]
    wanted = detector.state_dict()
    needed = {k for k in wanted if not k.startswith(ADDITIONS)}
    if missing := sorted(needed - given.keys()):
        raise ValueError(
            f"Expected '{weights}' to be a checkpoint of the config's {type(detector).__name__}, "
            f"but {len(missing)} of its {len(needed)} keys are missing, first {missing[0]!r}."
        )
    others = _of_other_shapes(given, wanted)
    if wrong := [key for key in others if key in needed]:
        raise ValueError(
            f"Expected '{weights}' to fit the config's {type(detector).__name__}, but {len(wrong)} "
            f"of its {len(needed)} weights have other shapes, first {wrong[0]!r}: "
            f"{others[wrong[0]]}. Give the config that the checkpoint was trained with."
        )
    for part in ADDITIONS:  # as a whole: half a bank is none
        if misfits := [key for key in others if key.startswith(part)]:
            warnings.warn(
                f"The config has another `{part[:-1]}` than '{weights}' ({misfits[0]!r}: "
                f"{others[misfits[0]]}). It is left out, and starts empty.",
                stacklevel=3,
            )
            for key in [key for key in given if key.startswith(part)]:
                del given[key]
    detector.load_state_dict(given, strict=False)
    meta = (checkpoint.get("meta") or {}).get("dataset_meta") or {}
    detector.dataset_meta = {**detector.dataset_meta, **meta}


def _of_other_shapes(given: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, str]:
    """Both shapes of each weight whose shapes differ, by its key."""
    return {
        key: f"{tuple(given[key].shape)} instead of {tuple(value.shape)}"
        for key, value in wanted.items()
        if key in given and given[key].shape != value.shape
    }


def _classes_of(config: Config) -> tuple[str, ...]:
    dataset = (config.get("test_dataloader") or {}).get("dataset") or {}
    return tuple((dataset.get("metainfo") or {}).get("classes") or ())
