"""What of a config decides whether boxes can be learnt from."""

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
        image_scale: longest and shortest side that pictures are resized to, in pixels, the
            smallest where a config has several; None leaves them as they are.
        scale_ranges: smallest and largest ``sqrt(width * height)`` of each pyramid level, in pixels
            of the resized picture; None for a network without them.
        mask_stride: pixels per cell of the masks in training.
        batch_size: images a step.
        max_epochs: length of the training in epochs; None if ``max_iters`` is set.
        max_iters: length of the training in iterations.
        warm_up: iterations in which the rate rises.
        num_classes: of the network; None if not told.
        classes: names of the classes to train; None if not told.
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
            config: what ``Config.fromfile`` returns.

        Raises:
            ValueError: if the config has no ``model`` or no ``train_dataloader``.
        """
        for name in ("model", "train_dataloader"):
            if not isinstance(config.get(name), Mapping):
                raise ValueError(
                    f"Expected the config to be one of a training, with `{name}`, but it has "
                    f"{sorted(config)}. Give the config that you would train."
                )
        head = config["model"].get("mask_head") or config["model"].get("bbox_head") or {}
        loader, loop = config["train_dataloader"], config.get("train_cfg") or {}
        dataset = _innermost(loader["dataset"])
        classes = (dataset.get("metainfo") or {}).get("classes")
        return cls(
            image_scale=_smallest_scale(dataset.get("pipeline") or ()),
            scale_ranges=head.get("scale_ranges"),
            mask_stride=(head.get("mask_feature_head") or {}).get("mask_stride", 4),
            batch_size=loader.get("batch_size", 1),
            max_epochs=loop.get("max_epochs"),
            max_iters=loop.get("max_iters"),
            warm_up=_warm_up(config.get("param_scheduler") or ()),
            num_classes=head.get("num_classes"),
            classes=None if classes is None else tuple(classes),
        )

    def factors(self, image_sizes: np.ndarray) -> np.ndarray:
        """Factors that pictures are resized by.

        Args:
            image_sizes: ``(images, 2)`` width and height in pixels.

        Returns:
            ``(images,)``.
        """
        if self.image_scale is None:
            return np.ones(len(image_sizes))
        sides = np.sort(image_sizes, 1)  # shorter, longer
        return (np.sort(self.image_scale) / sides).min(1)

    def iterations(self, num_images: int) -> int:
        """Length of the training on one device, in iterations."""
        if self.max_epochs is None:
            return self.max_iters or 0
        return self.max_epochs * ceil(num_images / self.batch_size)


def _innermost(dataset: Mapping[str, Any]) -> Mapping[str, Any]:
    """Take the wrappers (``RepeatDataset`` and its like) off a data set."""
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
    """Last iteration of a scheduler that counts iterations and begins with the training."""
    listed = [schedulers] if isinstance(schedulers, Mapping) else schedulers
    ends = (s.get("end", 0) for s in listed if not s.get("by_epoch", True) and not s.get("begin"))
    return max(ends, default=0)
