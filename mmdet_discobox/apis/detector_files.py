"""A DiscoBox detector from the files of its training, with what it takes to label with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmdet.registry import TRANSFORMS
from mmdet.utils import get_test_pipeline_cfg

from mmdet_discobox.models.detectors import StructuredTeachingMixin

from .detector_building import build_detector


@dataclass(frozen=True)
class TrainedDetector:
    """A detector and what it takes to use it.

    Attributes:
        model: on its device, in evaluation mode.
        transforms: of the test pipeline, between loading and packing.
        classes: names of its classes.
    """

    model: Any
    transforms: Sequence[Any]
    classes: tuple[str, ...]


def load_detector(
    config: str | Path, checkpoint: str | Path, *, device: str | None = None
) -> TrainedDetector:
    """Build a detector with trained weights.

    Args:
        config: config of the training.
        checkpoint: what it left, or a published student.
        device: where to put the model; by default the GPU if there is one.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if it is no DiscoBox detector, the weights do not fit, or no file names the
            classes.
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
    return TrainedDetector(
        model, transforms, (classes,) if isinstance(classes, str) else tuple(classes)
    )
