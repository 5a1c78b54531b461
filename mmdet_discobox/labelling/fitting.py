"""Train the box labeller on the boxes that are to be labelled."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from functools import partial
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

from .fitting_config import default_epochs, fitting_config
from .review.reviewed_masks import with_accepted_masks
from .shipped import CONFIG, WEIGHTS

#: takes the number of finished iterations, and the number of all
OnIteration = Callable[[int, int], None]
#: takes the kind of what is left out, ``'images'`` or ``'accepted masks'``, and the reasons
OnLeftOut = Callable[[str, list[str]], None]


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
        Paths of the config and of the weights of the teacher network.

    Raises:
        ValueError: if ``work_dir`` has a training of other boxes, epochs or seed, or if there are
            no boxes to train on, or none of their images can be read.
    """
    epochs = epochs or default_epochs(dataset)
    weights = work_dir / "box_labeler.pth"
    _check_same_training(work_dir / "training.json", dataset, epochs, seed)
    if not weights.is_file():
        taught = _prepare(dataset, image_dir, on_left_out)
        boxes = work_dir / "boxes.json"
        write_json(boxes, taught)
        config = fitting_config(taught, boxes, image_dir, epochs=epochs, seed=seed)
        _train(config, work_dir, device, on_iteration)
        _publish(work_dir, weights)
    for checkpoint in work_dir.glob("iter_*.pth"):  # also those that a kill has left
        checkpoint.unlink()
    return work_dir / CONFIG.name, weights


def _prepare(dataset: Json, image_dir: Path, on_left_out: OnLeftOut | None) -> Json:
    """Return the boxes of readable images with the accepted masks; report what is left out."""
    dataset, unread = _readable(dataset, image_dir)
    _check_boxes(dataset)
    taught = with_accepted_masks(dataset)
    unusable = list(map(str, find_mask_problems(taught).values()))
    for kind, reasons in (("images", unread), ("accepted masks", unusable)):
        if reasons and on_left_out is not None:
            on_left_out(kind, reasons)
    return taught


def _train(config: Config, work_dir: Path, device: str, on_iteration: OnIteration | None) -> None:
    """Train by mmengine's runner, from the last checkpoint if there is one."""
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


def _publish(work_dir: Path, weights: Path) -> None:
    """Write the weights of the teacher network."""
    latest = read_checkpoint(str(newest_whole_checkpoint([work_dir])))
    save_checkpoint(publish_checkpoint(latest, network="teacher"), weights)


def _readable(dataset: Json, image_dir: Path) -> tuple[Json, list[str]]:
    """Return the data set without images that cannot be read, and the reasons."""
    boxed = {annotation["image_id"] for annotation in dataset["annotations"]}
    used = [image for image in dataset["images"] if image["id"] in boxed]
    with ThreadPoolExecutor() as pool:
        faults = pool.map(partial(_read_fault, image_dir), used)
        unread = {image["id"]: fault for image, fault in zip(used, faults, strict=True) if fault}
    if unread and boxed <= unread.keys():
        raise ValueError(f"None of the images can be read: {next(iter(unread.values()))}")
    images = [image for image in dataset["images"] if image["id"] not in unread]
    boxes = [a for a in dataset["annotations"] if a["image_id"] not in unread]
    return {**dataset, "images": images, "annotations": boxes}, list(unread.values())


def _read_fault(image_dir: Path, image: Json) -> str | None:
    """Return why an image cannot be read, None if it can."""
    try:
        read_image(image_dir / image["file_name"], size=(image["width"], image["height"]))
    except (FileNotFoundError, ValueError) as error:
        return str(error)
    return None


def _check_boxes(dataset: Json) -> None:
    boxes = BoxTable(dataset)
    if not dataset["annotations"]:
        raise ValueError("Expected boxes to train on for --fit, but the data set has none.")
    if not boxes.trained.any():
        raise ValueError(
            f"Expected boxes to train on for --fit, but of the {len(boxes.trained)} boxes in "
            f"readable images, {int(boxes.crowd.sum())} have `iscrowd` set, "
            f"{int(boxes.ignored.sum())} `ignore`, and the others are thinner than a pixel or "
            "outside their image. Unset the flags of single objects, or label without --fit."
        )


def _check_same_training(path: Path, dataset: Json, epochs: int, seed: int) -> None:
    text = json.dumps(dataset, sort_keys=True)
    boxes = hashlib.sha256(text.encode()).hexdigest()
    own: dict[str, Any] = dict(boxes=boxes, epochs=epochs, seed=seed)
    started = (path.parent / "box_labeler.pth").is_file() or newest_whole_checkpoint([path.parent])
    if not (path.is_file() and started):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, own)
        return
    before: dict[str, Any] = json.loads(path.read_bytes())
    others = [
        "other boxes or accepted masks" if key == "boxes" else f"{key} {before.get(key)}"
        for key, value in own.items()
        if before.get(key) != value
    ]
    if others:
        raise ValueError(
            f"Expected the labeller in '{path.parent}' to be trained on these boxes with epochs "
            f"{epochs} and seed {seed}, but its training has {' and '.join(others)}. Name another "
            "OUT_JSON, finish it with these, or delete the folder."
        )


class _Progress(Hook):
    """Report the iterations of a training."""

    def __init__(self, report: OnIteration) -> None:
        self.report = report

    def before_train(self, runner: Runner) -> None:
        self.report(runner.iter, runner.max_iters)

    def after_train_iter(self, runner: Runner, *_: Any, **__: Any) -> None:
        self.report(runner.iter + 1, runner.max_iters)
