"""Read a trained labeller or detector for labelling."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmdet.registry import TRANSFORMS
from mmdet.utils import get_test_pipeline_cfg

from mmdet_discobox.checkpoints import build_detector
from mmdet_discobox.models.detectors import StructuredTeachingMixin
from mmdet_discobox.models.networks import DiscoBoxLabeler
from mmdet_discobox.utils.types import type_name


def load_detector(
    config: str | Path, checkpoint: str | Path, device: str | None
) -> tuple[Any, list[Any], tuple[str, ...]]:
    """Return a trained detector, its transforms between loading and packing, and its classes.

    Args:
        config: config of the training.
        checkpoint: its weights.
        device: by default the GPU if there is one.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if the model is no DiscoBox detector, the weights do not fit it, or neither file
            has the names of its classes.
    """
    model = build_detector(config, checkpoint, device)
    if not isinstance(model, StructuredTeachingMixin):
        raise ValueError(
            f"Expected the model of '{config}' to be a DiscoBox detector but got "
            f"{type(model).__name__}. Load a published student with the config of its training."
        )
    classes = model.dataset_meta.get("classes") or ()
    if isinstance(model, DiscoBoxLabeler) and model.mask_head.num_classes is None:
        return model, [], ()  # crops need no pipeline, and masks no class
    if not classes:
        raise ValueError(
            f"Expected the names of the classes in '{checkpoint}' (`meta.dataset_meta.classes`) or "
            f"in '{config}' (`test_dataloader.dataset.metainfo`), but neither has them."
        )
    transforms = [
        TRANSFORMS.build(transform)
        for transform in get_test_pipeline_cfg(model.cfg)
        if not type_name(transform["type"]).startswith(("Load", "Pack"))
    ]
    return model, transforms, (classes,) if isinstance(classes, str) else tuple(classes)
