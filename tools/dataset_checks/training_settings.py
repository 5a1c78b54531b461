"""Settings of a config that the checks of a data set depend on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np

_RESIZING = ("Resize", "RandomChoiceResize", "RandomResize", "FixScaleResize")
_SOLOV2_RANGES = ((1, 96), (48, 192), (96, 384), (192, 768), (384, 2048))


@dataclass(frozen=True)
class TrainingSettings:
    """Settings of a training; the defaults are those of ``configs/discobox/solov2_r50.py``.

    Attributes:
        image_scale: Longest and shortest side of the resized image in pixels, the smallest of
            several; None does not resize.
        scale_ranges: Smallest and largest ``sqrt(width * height)`` of each pyramid level, in pixels
            of the resized image; None for a network without them.
        mask_stride: Pixels per cell of the training masks.
        batch_size: Images per step.
        max_epochs: Length of the training in epochs; None if ``max_iters`` is set.
        max_iters: Length of the training in iterations.
        warm_up: Iterations of the learning-rate warm-up.
        num_classes: Number of classes of the network; None if the config does not set it.
        classes: Names of the classes to train; None if the config does not set them.
    """

    image_scale: tuple[float, float] | None = (1333, 800)
    scale_ranges: Sequence[tuple[float, float]] | None = _SOLOV2_RANGES
    mask_stride: int = 4
    batch_size: int = 2
    max_epochs: int | None = 36
    max_iters: int | None = None
    warm_up: int = 2000
    num_classes: int | None = None
    classes: tuple[str, ...] | None = None

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> TrainingSettings:
        """Read the settings from a config of mmdet.

        Args:
            config: Result of ``Config.fromfile``.

        Raises:
            ValueError: If the config has no ``model`` or no ``train_dataloader``.
        """
        for name in ("model", "train_dataloader"):
            if not isinstance(config.get(name), Mapping):
                raise ValueError(
                    f"Expected a training config with `{name}`, but got the keys {sorted(config)}. "
                    "Pass the config that you train with."
                )
        # the number of classes belongs to the box head of CondInst, and to the mask head of SOLOv2
        heads = [config["model"].get(name) or {} for name in ("mask_head", "bbox_head")]
        head = heads[0] or heads[1]
        loader, loop = config["train_dataloader"], config.get("train_cfg") or {}
        dataset = _unwrap(loader["dataset"])
        classes = (dataset.get("metainfo") or {}).get("classes")
        return cls(
            image_scale=_smallest_scale(dataset.get("pipeline") or ()),
            scale_ranges=head.get("scale_ranges"),
            mask_stride=_mask_stride(head),
            batch_size=loader.get("batch_size", 1),
            max_epochs=loop.get("max_epochs"),
            max_iters=loop.get("max_iters"),
            warm_up=_warm_up(config.get("param_scheduler") or ()),
            num_classes=next((h["num_classes"] for h in heads if "num_classes" in h), None),
            classes=None if classes is None else tuple(classes),
        )

    def scale_factors(self, image_sizes: np.ndarray) -> np.ndarray:
        """Return the factors ``(n,)`` by which images of sizes ``(n, 2)`` in pixels are resized."""
        if self.image_scale is None:
            return np.ones(len(image_sizes))
        sides = np.sort(image_sizes, 1)  # shorter, longer
        return (np.sort(self.image_scale) / sides).min(1)

    def iterations(self, num_images: int) -> int:
        """Return the length of the training on one device, in iterations."""
        if self.max_epochs is None:
            return self.max_iters or 0
        return self.max_epochs * ceil(num_images / self.batch_size)


def _mask_stride(head: Mapping[str, Any]) -> int:
    """Return the stride of the training masks, which CondInst and RTMDet-Ins upsample."""
    features = head.get("mask_feature_head") or {}
    upsampled = head.get("mask_out_stride") or head.get("mask_loss_stride")
    return int(upsampled or features.get("mask_stride", 4))


def _unwrap(dataset: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the data set inside wrappers such as ``RepeatDataset``."""
    while isinstance(dataset.get("dataset"), Mapping):
        dataset = dataset["dataset"]
    return dataset


def _smallest_scale(pipeline: Sequence[Mapping[str, Any]]) -> tuple[float, float] | None:
    scales = [
        scale
        for transform in pipeline
        if transform.get("type") in _RESIZING
        for scale in _scales(transform)
    ]
    return min(scales, default=None, key=lambda scale: scale[0] * scale[1])


def _scales(transform: Mapping[str, Any]) -> Iterator[tuple[float, float]]:
    scales = transform.get("scales", transform.get("scale"))
    if isinstance(scales, (int, float)):
        yield (scales, scales)
    elif scales is not None and not isinstance(scales[0], Sequence):
        yield (scales[0], scales[1])
    else:
        yield from ((scale[0], scale[1]) for scale in scales or ())


def _warm_up(schedulers: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> int:
    """Return the last iteration of schedulers by iteration that begin with the training."""
    listed = [schedulers] if isinstance(schedulers, Mapping) else schedulers
    ends = (s.get("end", 0) for s in listed if not s.get("by_epoch", True) and not s.get("begin"))
    return max(ends, default=0)
