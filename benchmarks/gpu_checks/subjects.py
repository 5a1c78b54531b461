"""Configs of the checks, random batches, and detectors ready for a training step."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import torch
from mmcv.ops import ModulatedDeformConv2dPack
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from torch import nn

from bench_batch import Workload, random_batch
from bench_models import CONFIGS, Trainee
from gpu_checks.records import Settings

#: modules that mmdet initialises; the backbone keeps torch's weights, as mmdet downloads its own
_INITIALISED = ("neck", "bbox_head", "mask_head")


@cache
def read(path: Path) -> Config:
    """Read a config, once."""
    return Config.fromfile(path)


def checked_configs() -> list[Path]:
    """Return all configs of a ResNet-50 and one of RTMDet-Ins, that of each network first.

    Wrappers around a stock detector are left out, because they train nothing of this package, and
    the box labeller, which has no stock twin to be compared with.
    """
    folder = CONFIGS / "discobox"
    found = [*sorted(folder.glob("*_r50*.py")), folder / "rtmdet-ins_s.py"]
    models = {path: read(path).model for path in found}
    paths = [
        path
        for path, model in models.items()
        if "detector" not in model and model.type != "DiscoBoxLabeler"
    ]
    first = representatives(paths)
    return [*first, *(path for path in paths if path not in first)]


def representatives(paths: Sequence[Path]) -> list[Path]:
    """Return the first config of each DiscoBox network that has all losses.

    YOLACT++ stands for YOLACT: of two configs of a network one with deformable convolutions comes
    first.
    """
    chosen: dict[str, Path] = {}
    for path in sorted(paths, key=lambda each: ("dcn" not in each.stem, len(each.stem))):
        model = read(path).model
        term = (model.get("structured_teacher") or {}).get("cross_image")
        if term is not None:
            chosen.setdefault(model.type, path)
    return sorted(chosen.values(), key=list(paths).index)


def prepare_process(settings: Settings) -> None:
    """Set up a process that runs checks."""
    torch.set_num_threads(settings.threads)
    init_default_scope("mmdet")
    MMLogger.get_instance("gpu_check", log_level="ERROR")  # initialisations fill pages


def workload(config: Config, settings: Settings) -> Workload:
    """Return the batch of a config: the largest images that its training pipeline gives."""
    model = config.model
    head = model.get("bbox_head") or model.mask_head
    size = settings.size or _pipeline_size(config)
    return Workload(size, settings.images, settings.objects, head.num_classes)


def _pipeline_size(config: Config) -> tuple[int, int]:
    dataset = config.train_dataloader.dataset
    while "dataset" in dataset:
        dataset = dataset.dataset
    steps = [step for step in dataset.pipeline if step["type"].endswith("Resize")]
    scales = [scale for step in steps for scale in step.get("scales") or [step["scale"]]]
    width, height = max(scales, key=lambda scale: scale[0] * scale[1])
    return height, width


@lru_cache(maxsize=8)
def batch(work: Workload, seed: int = 0) -> dict[str, Any]:
    """Return a random batch, made once."""
    return random_batch(work, seed)


def divisor(settings: Settings) -> int | None:
    """Return the divisor of padded sizes: None, the config's own, for images of its pipeline."""
    return None if settings.size is None else 32


_ready: dict[tuple[Path, str], Trainee] = {}


def trainee(settings: Settings, path: Path, kind: str) -> Trainee:
    """Return a detector with random weights; the last one is kept for the next check.

    Args:
        settings: of all checks.
        path: of its config.
        kind: of the variant, see ``bench_models``.
    """
    if (path, kind) not in _ready:
        release(settings)
        _ready[path, kind] = build(read(path), kind, settings.device, settings)
    return _ready[path, kind]


def release(settings: Settings) -> None:
    """Free the memory of the detector that was kept."""
    _ready.clear()
    gc.collect()
    if settings.on_gpu:
        torch.cuda.empty_cache()


def build(config: Config, kind: str, device: str, settings: Settings) -> Trainee:
    """Build a detector with random weights, all losses on.

    Args:
        config: of the detector.
        kind: of the variant.
        device: to train on.
        settings: of all checks.
    """
    built = Trainee(config, kind, device, divisor=divisor(settings))
    initialise(built.model)
    if built.teacher is not None:
        built.teacher.restart()
    built.average()
    built.set_gates((True, True))
    return built


def initialise(model: nn.Module) -> None:
    """Initialise neck and heads as mmdet does, and offsets of deformable convolutions at random."""
    for name in _INITIALISED:
        part = getattr(model, name, None)
        if part is not None:
            part.init_weights()
    for module in model.modules():
        if isinstance(module, ModulatedDeformConv2dPack):  # whose offsets start at zero
            nn.init.normal_(module.conv_offset.weight, std=0.01)


@contextmanager
def exact_products() -> Iterator[None]:
    """Compute in float32 without TF32, which a GPU uses in convolutions by default."""
    backends = (torch.backends.cudnn, torch.backends.cuda.matmul)
    before = [backend.allow_tf32 for backend in backends]
    for backend in backends:
        backend.allow_tf32 = False
    try:
        yield
    finally:
        for backend, allowed in zip(backends, before, strict=True):
            backend.allow_tf32 = allowed
