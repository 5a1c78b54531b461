"""Load a DiscoBox detector for labelling from the files of its training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmdet.registry import TRANSFORMS
from mmdet.utils import get_test_pipeline_cfg

from mmdet_discobox.checkpoints import build_detector
from mmdet_discobox.models.detectors import StructuredTeachingMixin


def load_detector(
    config: str | Path, checkpoint: str | Path, *, device: str | None = None
) -> tuple[Any, list[Any], tuple[str, ...]]:
    """Build a detector with trained weights.

    Args:
        config: config of the training.
        checkpoint: checkpoint of the training, or a published student.
        device: device of the model; by default the GPU if there is one.

    Returns:
        The model in evaluation mode, the transforms of its test pipeline between loading and
        packing, and the names of its classes.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if the model is no DiscoBox detector, the weights do not fit, or no file names
            the classes.
    """
    model = build_detector(config, checkpoint, device)
    if not isinstance(model, StructuredTeachingMixin):
        raise ValueError(
            f"Expected the model of '{config}' to be a DiscoBox detector but got "
            f"{type(model).__name__}. A student that was published for the stock detector is "
            "loaded with the config it was trained with."
        )
    classes = model.dataset_meta.get("classes")
    if not classes:
        raise ValueError(
            f"Expected the names of the classes in '{checkpoint}' (`meta.dataset_meta.classes`) or "
            f"in '{config}' (`test_dataloader.dataset.metainfo`), but neither has them."
        )
    transforms = [
        TRANSFORMS.build(transform)
        for transform in get_test_pipeline_cfg(model.cfg)
        if not str(transform["type"]).split(".")[-1].startswith(("Load", "Pack"))
    ]
    return model, transforms, (classes,) if isinstance(classes, str) else tuple(classes)
