"""The config by which ``--fit`` trains the box labeller on the user's boxes."""

from __future__ import annotations

import math
from pathlib import Path

from mmengine.config import Config

from mmdet_discobox.utils.types import Json

from .labelled_boxes import is_accepted
from .shipped import shipped_config

#: passes over the boxes by default, and the fewest steps that these may make: a few change nothing
_EPOCHS, _MIN_STEPS = 8, 50
#: checkpoints in a training
_SAVES = 20


def fitting_config(
    dataset: Json, boxes: Path, image_dir: Path, *, epochs: int, seed: int
) -> Config:
    """Return the config of the shipped labeller, changed to train on other boxes.

    Args:
        dataset: the COCO json of the boxes; accepted masks teach beside them.
        boxes: its file.
        image_dir: folder of its images.
        epochs: passes over the boxes.
        seed: seed of the training.
    """
    config = shipped_config()
    _set_boxes(config, dataset, boxes, image_dir)
    if any(map(is_accepted, dataset["annotations"])):
        use_true_masks(config, repeats=_mask_repeats(dataset))
    _set_schedule(config, dataset, epochs)
    config.randomness = dict(seed=seed)
    return config


def default_epochs(dataset: Json) -> int:
    """Return 8 passes over the boxes, or as many as make 50 steps."""
    return max(_EPOCHS, math.ceil(_MIN_STEPS / _steps_per_epoch(shipped_config(), dataset)))


def _set_boxes(config: Config, dataset: Json, boxes: Path, image_dir: Path) -> None:
    """Train on the boxes of a COCO json, read as in labelling, and evaluate nothing."""
    for transform in config.train_dataloader.dataset.pipeline:
        if transform["type"] == "LoadImageFromFile":
            transform["type"] = "LoadImageAsLabelled"
    config.train_dataloader.dataset.dataset = dict(
        type="CocoBoxDataset",
        ann_file=str(boxes.resolve()),
        data_prefix=dict(img=str(image_dir.resolve())),
        metainfo=dict(classes=tuple(c["name"] for c in dataset["categories"])),
    )
    for part in ("val", "test"):
        config[f"{part}_dataloader"] = config[f"{part}_cfg"] = config[f"{part}_evaluator"] = None


def use_true_masks(config: Config, *, repeats: int = 1) -> None:
    """Change the config of a labeller to mixed supervision, in place.

    Args:
        config: config of a labeller.
        repeats: how often an epoch contains each box with a true mask.
    """
    data = config.train_dataloader.dataset
    data.mask_repeats = repeats
    loading = [transform["type"] for transform in data.pipeline].index("LoadAnnotations")
    data.pipeline.insert(loading + 1, dict(type="LoadTrueMasks"))
    data.dataset.use_masks = True
    config.model.true_masks = True


def _mask_repeats(dataset: Json) -> int:
    """Return ``ceil(sqrt(1 / f))`` for a fraction f of objects with a true mask.

    As the repeat factor of LVIS for rare classes (arXiv 1908.03195, Appendix): masks of 5 % of the
    objects are seen 5 times as often as boxes, of 10 % 4 times, of 20 % 3 times. The steps stay as
    many.
    """
    masks = sum(map(is_accepted, dataset["annotations"]))
    return math.ceil(math.sqrt(len(dataset["annotations"]) / masks))


def _steps_per_epoch(config: Config, dataset: Json) -> int:
    usable = sum(not (a.get("iscrowd") or a.get("ignore")) for a in dataset["annotations"])
    return max(1, math.ceil(usable / config.train_dataloader.batch_size))


def _set_schedule(config: Config, dataset: Json, epochs: int) -> None:
    """Count in iterations, so that a training resumes between two epochs as well."""
    config.train_dataloader.sampler = dict(type="InfiniteSampler", shuffle=True)
    iterations = _steps_per_epoch(config, dataset) * epochs
    config.train_cfg = dict(type="IterBasedTrainLoop", max_iters=iterations, val_interval=10**9)
    config.param_scheduler = [
        dict(
            type="LinearLR", start_factor=0.01, by_epoch=False, end=min(50, max(1, iterations // 5))
        ),
        dict(type="CosineAnnealingLR", by_epoch=False, T_max=iterations, eta_min=4e-6),
    ]
    config.default_hooks.checkpoint = dict(
        type="CheckpointHook",
        by_epoch=False,
        interval=math.ceil(iterations / _SAVES),
        max_keep_ckpts=2,
    )
    config.log_level = "WARNING"
