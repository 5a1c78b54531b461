"""Settings of a config that the checks of a data set depend on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any

import numpy as np

from mmdet_discobox.utils.types import type_name

_RESIZING = ("Resize", "RandomChoiceResize", "RandomResize", "FixScaleResize")
#: each of their images is resized to `img_scale`
_MOSAICS = ("Mosaic", "CachedMosaic")
_SOLOV2_RANGES = ((1, 96), (48, 192), (96, 384), (192, 768), (384, 2048))


@dataclass(frozen=True)
class TrainingSettings:
    """Settings of a training; the defaults are those of ``configs/discobox/solov2_r50.py``.

    Attributes:
        image_scale: longest and shortest side of the resized image in pixels, the smallest of
            several; None does not resize.
        scale_ranges: smallest and largest ``sqrt(width * height)`` of each pyramid level, in pixels
            of the resized image; None for a network without them.
        num_grids: cells along each side of a level, of SOLOv2.
        pos_scale: side of the region whose cells an object gets, as a fraction of its box's.
        mask_stride: pixels per cell of the training masks.
        batch_size: images per step.
        max_epochs: length of the training in epochs; None if ``max_iters`` is set.
        max_iters: length of the training in iterations.
        warm_up: iterations of the learning-rate warm-up.
        num_classes: number of classes of each head whose config sets it, by name.
        classes: names of the classes to train; None if the config does not set them.
        filter_empty: whether images without boxes are left out.
        min_size: images with a shorter side in pixels are left out.
        num_samples: samples of an epoch; None if they are the images.
    """

    image_scale: tuple[float, float] | None = (1333, 800)
    scale_ranges: Sequence[tuple[float, float]] | None = _SOLOV2_RANGES
    num_grids: Sequence[int] = (40, 36, 24, 16, 12)
    pos_scale: float = 0.2
    mask_stride: int = 4
    batch_size: int = 2
    max_epochs: int | None = 36
    max_iters: int | None = None
    warm_up: int = 2000
    num_classes: Mapping[str, int] = field(default_factory=dict)
    classes: tuple[str, ...] | None = None
    filter_empty: bool = False
    min_size: float = 0
    num_samples: int | None = None

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> TrainingSettings:
        """Read the settings from a config of mmdet.

        Args:
            config: result of ``Config.fromfile``.

        Raises:
            ValueError: if the config has no ``model`` or no ``train_dataloader``.
        """
        for name in ("model", "train_dataloader"):
            if not isinstance(config.get(name), Mapping):
                raise ValueError(
                    f"Expected a training config with `{name}`, but got the keys {sorted(config)}. "
                    "Pass the config that you train with."
                )
        heads = dict(_heads(config["model"]))
        head = heads.get("mask_head") or heads.get("bbox_head") or {}
        loader, loop = config["train_dataloader"], config.get("train_cfg") or {}
        chain = data_set_chain(loader["dataset"])
        classes = (chain[-1].get("metainfo") or {}).get("classes")
        filtered = chain[-1].get("filter_cfg") or {}
        return cls(
            image_scale=_image_scale([each.get("pipeline") or () for each in reversed(chain)]),
            scale_ranges=head.get("scale_ranges"),
            num_grids=tuple(head.get("num_grids") or cls.num_grids),
            pos_scale=head.get("pos_scale", cls.pos_scale),
            mask_stride=_mask_stride(head),
            batch_size=loader.get("batch_size", 1),
            max_epochs=loop.get("max_epochs"),
            max_iters=loop.get("max_iters"),
            warm_up=_warm_up(config.get("param_scheduler") or ()),
            num_classes={n: h["num_classes"] for n, h in heads.items() if "num_classes" in h},
            # the name of a file with the names is read by the data set, see `ask_classes`
            classes=None if classes is None or isinstance(classes, str) else tuple(classes),
            filter_empty=bool(filtered.get("filter_empty_gt")),
            min_size=filtered.get("min_size", 0),
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
        return self.max_epochs * ceil((self.num_samples or num_images) / self.batch_size)


def _heads(model: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the heads of a detector by name; those of a cascade are numbered."""
    for part in (model, model.get("roi_head") or {}):
        for name in ("mask_head", "bbox_head"):
            head = part.get(name) or ()
            if isinstance(head, Mapping):
                yield name, head
            else:
                yield from ((f"{name}[{index}]", each) for index, each in enumerate(head))


def _mask_stride(head: Mapping[str, Any]) -> int:
    """Return the stride of the training masks, which CondInst and RTMDet-Ins upsample."""
    features = head.get("mask_feature_head") or {}
    upsampled = head.get("mask_out_stride") or head.get("mask_loss_stride")
    return int(upsampled or features.get("mask_stride", 4))


def data_set_chain(
    dataset: Mapping[str, Any], *, is_meant: Callable[[Mapping[str, Any]], bool] = bool
) -> list[Any]:
    """Return the configs of the wrappers, such as ``ConcatDataset``, and of a data set inside.

    Args:
        dataset: config of a data set or of a wrapper.
        is_meant: chooses among the data sets inside; by default, any is chosen.

    Returns:
        From the outer wrapper to the first data set that is meant; empty if there is none.
    """
    inner = dataset.get("dataset", dataset.get("datasets"))
    inside = [inner] if isinstance(inner, Mapping) else inner
    if not inside:
        return [dataset] if is_meant(dataset) else []
    chains = (data_set_chain(each, is_meant=is_meant) for each in inside)
    chain = next(filter(None, chains), None)
    return [] if chain is None else [dataset, *chain]


def _image_scale(pipelines: Sequence[Sequence[Mapping[str, Any]]]) -> tuple[float, float] | None:
    """Return the scale of the last transform that resizes, the smallest if it has several."""
    resizing = [
        transform
        for pipeline in pipelines
        for transform in pipeline
        if type_name(transform.get("type")) in (*_RESIZING, *_MOSAICS)
    ]
    scales = list(_scales(resizing[-1])) if resizing else []
    return min(scales, default=None, key=lambda scale: scale[0] * scale[1])


def _scales(transform: Mapping[str, Any]) -> Iterator[tuple[float, float]]:
    scales = transform.get("scales", transform.get("scale", transform.get("img_scale")))
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
