"""A training resumed from a checkpoint, compared with an uninterrupted one."""

from __future__ import annotations

import copy
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dataset import InfiniteSampler, pseudo_collate
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.utils.data import DataLoader, Dataset

from bench_batch import Workload
from bench_models import FULL, model_config
from gpu_checks.records import CheckFailure, Figures, Settings
from gpu_checks.subjects import batch, divisor, read, release, workload

#: iterations until the checkpoint, and in all; correspondences start at the one before it
_SAVED, _ALL = 3, 5
#: a resumed training may differ by this many times as much as two equal trainings do
_TIMES = 10
Losses = list[dict[str, float]]


class RandomImages(Dataset):
    """Random images with boxes, as a data set of mmdet gives them.

    Args:
        work: their size and objects.
        count: number of images.
    """

    def __init__(self, work: Workload, count: int) -> None:
        data = batch(Workload(work.size, count, work.objects, work.classes), seed=1)
        pairs = zip(data["inputs"], data["data_samples"], strict=True)
        self._items = [dict(inputs=image, data_samples=sample) for image, sample in pairs]
        self.metainfo = dict(classes=tuple(map(str, range(work.classes or 1))))

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self._items[index]


class LossRecorder(Hook):
    """Keep the losses of every iteration."""

    def __init__(self) -> None:
        self.losses: Losses = []

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Read the losses."""
        self.losses.append({key: value.item() for key, value in outputs.items()})


def resumed_training(settings: Settings, path: Path) -> Figures:
    """Compare the losses after a resume with those of an uninterrupted training.

    They agree to the last bit if two equal trainings do. On a GPU some backward passes sum in any
    order; then the difference between two equal trainings sets the tolerance.

    Args:
        settings: of all checks.
        path: of the config.

    Raises:
        CheckFailure: if the losses differ.
    """
    release(settings)
    with tempfile.TemporaryDirectory() as folder, _deterministic():
        straight = _train(settings, path, Path(folder, "straight"))
        again = _train(settings, path, Path(folder, "again"))
        saved = Path(folder, "straight", f"iter_{_SAVED}.pth")
        megabytes = saved.stat().st_size / 1e6
        resumed = _train(settings, path, Path(folder, "resumed"), saved)
    expected = straight[_SAVED:]
    figures = dict(
        difference=largest_difference(expected, resumed),
        first_difference=largest_difference(expected[:1], resumed[:1]),
        between_equal_trainings=largest_difference(expected, again[_SAVED:]),
        checkpoint_megabytes=megabytes,
        losses=resumed[-1],
    )
    limit = _TIMES * figures["between_equal_trainings"]
    if figures["difference"] > limit:
        raise CheckFailure(
            f"Expected losses within {limit:.2g} of those without a stop, relatively, but got a "
            f"difference of {figures['difference']:.2g}.",
            figures,
        )
    return figures


def largest_difference(expected: Losses, found: Losses) -> float:
    """Return the largest relative difference of losses; infinite if their keys or number differ."""
    if [losses.keys() for losses in expected] != [losses.keys() for losses in found]:
        return float("inf")
    pairs = [(a[key], b[key]) for a, b in zip(expected, found, strict=True) for key in a]
    return max(abs(a - b) / max(abs(a), 1e-6) for a, b in pairs)


@contextmanager
def _deterministic() -> Iterator[None]:
    """Choose deterministic operators where torch has them."""
    before = torch.backends.cudnn.deterministic
    torch.backends.cudnn.deterministic = True
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.use_deterministic_algorithms(False)
        torch.backends.cudnn.deterministic = before


def _train(settings: Settings, path: Path, folder: Path, checkpoint: Path | None = None) -> Losses:
    """Train from the start, or from a checkpoint, and return the losses."""
    config = read(path)
    runner = Runner(
        model=_without_download(config, settings),
        work_dir=str(folder),
        train_dataloader=_loader(workload(config, settings)),
        train_cfg=dict(type="IterBasedTrainLoop", max_iters=_ALL, val_interval=_ALL + 1),
        optim_wrapper=copy.deepcopy(config.optim_wrapper),
        default_hooks=dict(
            logger=None,
            checkpoint=dict(
                type="CheckpointHook", interval=_SAVED, by_epoch=False, save_last=False
            ),
        ),
        custom_hooks=[
            dict(type="TeacherEMAHook"),
            dict(type="StructuredTeacherHook", correspondence=dict(iteration=_SAVED - 1)),
        ],
        load_from=None if checkpoint is None else str(checkpoint),
        resume=checkpoint is not None,
        randomness=dict(seed=0),
        log_level="ERROR",
        default_scope="mmdet",
        experiment_name=f"gpu_check_{path.stem}_{folder.name}",
    )
    recorder = LossRecorder()
    runner.register_hook(recorder, priority="LOWEST")
    runner.train()
    return recorder.losses


def _without_download(config: Config, settings: Settings) -> Any:
    """Return the model's config with a backbone of random weights."""
    model = model_config(config, FULL, divisor=divisor(settings))
    model.backbone.init_cfg = None
    return model


def _loader(work: Workload) -> DataLoader:
    images = RandomImages(work, 2 * work.images)
    sampler = InfiniteSampler(images, shuffle=True, seed=0)
    return DataLoader(
        images, batch_size=work.images, sampler=sampler, collate_fn=pseudo_collate, num_workers=0
    )
