"""Train the box labeller on the boxes that are to be labelled."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmdet_discobox.annotation_files.box_table import BoxTable
from mmdet_discobox.annotation_files.true_masks import find_mask_problems
from mmdet_discobox.checkpoints import publish_checkpoint, read_checkpoint, save_checkpoint
from mmdet_discobox.utils.files import write_json
from mmdet_discobox.utils.images import read_image
from mmdet_discobox.utils.last_checkpoint import newest_whole_checkpoint
from mmdet_discobox.utils.types import Json

from .labelled_boxes import is_accepted
from .reviewed_masks import with_accepted_masks
from .shipped import WEIGHTS, shipped_config

#: takes the number of finished iterations, and the number of all
OnIteration = Callable[[int, int], None]
#: takes the kind of what is left out, ``'images'`` or ``'accepted masks'``, and the reasons
OnLeftOut = Callable[[str, list[str]], None]
#: passes over the boxes by default, and the fewest steps that these may make: a few change nothing
_EPOCHS, _MIN_STEPS = 8, 50
#: checkpoints in a training
_SAVES = 20


def fit_labeler(
    dataset: Json,
    image_dir: Path,
    work_dir: Path,
    *,
    epochs: int | None = None,
    seed: int = 0,
    device: str,
    on_iteration: OnIteration | None = None,
    on_left_out: OnLeftOut | None = None,
) -> tuple[Path, Path]:
    """Train the shipped labeller on the boxes of a data set, by mmengine's runner, resumably.

    A killed training continues from its last checkpoint, and a finished one is not repeated. Images
    that cannot be read, or have another size than their boxes require, are left out, and objects
    with an unusable mask train as boxes.

    Args:
        dataset: a COCO json, see :func:`read_boxes`. Masks that a person has accepted
            (``mask_source`` is ``'person'``) teach beside the boxes; no other mask is read.
        image_dir: folder of its images.
        work_dir: folder of the result, created if absent; ``training.log`` in it has what mmengine
            prints.
        epochs: passes over all boxes; None: 8, or as many as make 50 steps.
        seed: seed of the training.
        device: device to train on.
        on_iteration: called before the first and after each iteration.
        on_left_out: called before the training for images or accepted masks that are left out.

    Returns:
        Paths of the config and of the weights of the average.

    Raises:
        ValueError: if ``work_dir`` has a training of other boxes, epochs or seed, or if there are
            no boxes to train on, or none of their images can be read.
    """
    config = shipped_config()
    epochs = epochs or _default_epochs(config, dataset)
    # the runner writes its config there, under this name
    config_file, weights = work_dir / Path(config.filename).name, work_dir / "box_labeler.pth"
    _check_same_training(work_dir / "training.json", dataset, epochs, seed)
    if weights.is_file():
        return config_file, weights
    dataset, unread = _readable(dataset, image_dir)
    _check_boxes(dataset)
    accepted = with_accepted_masks(dataset)
    unusable = list(map(str, find_mask_problems(accepted).values()))
    for kind, reasons in (("images", unread), ("accepted masks", unusable)):
        if reasons and on_left_out is not None:
            on_left_out(kind, reasons)
    boxes = work_dir / "boxes.json"
    write_json(boxes, accepted)
    _set_boxes(config, dataset, boxes, image_dir)
    if any(map(is_accepted, dataset["annotations"])):
        use_true_masks(config, repeats=_mask_repeats(dataset))
    _set_schedule(config, dataset, epochs)
    config.randomness = dict(seed=seed)
    config.work_dir = str(work_dir)
    config.resume = newest_whole_checkpoint([work_dir]) is not None
    config.load_from = None if config.resume else str(WEIGHTS)
    # not closed: mmengine's logger, which outlives the training, writes to it
    log = (work_dir / "training.log").open("a", encoding="utf-8", buffering=1)
    with redirect_stdout(log):
        runner = Runner.from_cfg(config)
        runner.model.to(device)
        if on_iteration is not None:
            runner.register_hook(_Progress(on_iteration), priority="VERY_LOW")
        runner.train()
    latest = read_checkpoint(str(newest_whole_checkpoint([work_dir])))
    save_checkpoint(publish_checkpoint(latest, network="teacher"), weights)
    for checkpoint in work_dir.glob("iter_*.pth"):
        checkpoint.unlink()
    return config_file, weights


def _readable(dataset: Json, image_dir: Path) -> tuple[Json, list[str]]:
    """Return the data set without images that cannot be read, and the reasons."""
    boxed = {annotation["image_id"] for annotation in dataset["annotations"]}
    unread = {}
    for image in dataset["images"]:
        try:
            if image["id"] in boxed:
                size = (image["width"], image["height"])
                read_image(image_dir / image["file_name"], size=size)
        except (FileNotFoundError, ValueError) as error:
            unread[image["id"]] = str(error)
    if unread and boxed <= unread.keys():
        raise ValueError(f"None of the images can be read: {next(iter(unread.values()))}")
    images = [image for image in dataset["images"] if image["id"] not in unread]
    boxes = [a for a in dataset["annotations"] if a["image_id"] not in unread]
    return {**dataset, "images": images, "annotations": boxes}, list(unread.values())


def _check_boxes(dataset: Json) -> None:
    boxes = BoxTable(dataset)
    if not boxes.trained.any():
        raise ValueError(
            f"Expected boxes to train on for --fit, but of the {len(boxes.trained)} boxes in "
            f"readable images, {int(boxes.crowd.sum())} have `iscrowd` set, "
            f"{int(boxes.ignored.sum())} `ignore`, and the others are thinner than a pixel or "
            "outside their image. Unset the flags of single objects, or label without --fit."
        )


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


def _default_epochs(config: Config, dataset: Json) -> int:
    return max(_EPOCHS, math.ceil(_MIN_STEPS / _steps_per_epoch(config, dataset)))


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


def _check_same_training(path: Path, dataset: Json, epochs: int, seed: int) -> None:
    text = json.dumps([dataset, epochs, seed], sort_keys=True)
    own: dict[str, Any] = dict(training=hashlib.sha256(text.encode()).hexdigest())
    started = (path.parent / "box_labeler.pth").is_file() or newest_whole_checkpoint([path.parent])
    if not (path.is_file() and started):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, own)
    elif json.loads(path.read_bytes()) != own:
        raise ValueError(
            f"Expected the labeller in '{path.parent}' to be trained on the same boxes for as many "
            "epochs, but it was trained on other boxes or accepted masks, for another number of "
            "epochs, or with another seed. Name another OUT_JSON, finish it with these, or delete "
            "the folder."
        )


class _Progress(Hook):
    """Report the iterations of a training."""

    def __init__(self, report: OnIteration) -> None:
        self.report = report

    def before_train(self, runner: Runner) -> None:
        self.report(runner.iter, runner.max_iters)

    def after_train_iter(self, runner: Runner, *_: Any, **__: Any) -> None:
        self.report(runner.iter + 1, runner.max_iters)
