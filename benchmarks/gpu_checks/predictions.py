"""Predictions and refined masks of one detector on the CPU and on the device."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from mmengine.structures import InstanceData
from torch import Tensor

from bench_measure import admit, predict
from bench_models import FULL
from gpu_checks.records import CheckFailure, Figures, Settings, Skip
from gpu_checks.subjects import batch, build, exact_products, read, release, workload

#: detections to compare, about
_DETECTIONS = 30
#: relative to the largest value of a map
_MOST_DIFFERENT = 1e-3
#: of two equal detections: least IoU, as a threshold turns rounding errors into pixels, and largest
#: difference of the scores, as a share
_IOU, _SCORE = 0.9, 0.01
#: share of the detections that has an equal one, and mean IoU of the refined masks
_LEAST_AGREEMENT, _LEAST_IOU = 0.9, 0.95


def predictions(settings: Settings, path: Path) -> Figures:
    """Compare the CPU and the device: outputs of the heads, detections, masks of the teacher.

    Args:
        settings: of all checks.
        path: of the config.

    Raises:
        CheckFailure: if they disagree.
        Skip: without a GPU.
    """
    if not settings.on_gpu:
        raise Skip("there is no other device to compare the CPU with")
    return compared(settings, path)


def compared(settings: Settings, path: Path) -> Figures:
    """Compare the CPU with any device, as :func:`predictions` does."""
    release(settings)
    config = read(path)
    here = build(config, FULL, "cpu", settings).model.eval()
    there = copy.deepcopy(here).to(settings.device)
    work = replace(workload(config, settings), images=1)
    with exact_products(), torch.no_grad():
        admit(there, batch(work), _DETECTIONS)
        _share_thresholds(there, here)
        these, those = (_outputs(model, batch(work)) for model in (here, there))
    figures = dict(
        heads_differ=_difference(these.heads, those.heads),
        **agreement(these.detections, those.detections),
        teacher_iou=_mean_iou(these.refined, those.refined),
    )
    _check(figures)
    return figures


@dataclass(frozen=True)
class _Outputs:
    heads: list[Tensor]
    detections: InstanceData
    refined: Tensor  # (G, S, S) masks of the teacher


def _outputs(model: Any, data: dict[str, Any]) -> _Outputs:
    prepared = model.data_preprocessor(copy.deepcopy(data), False)
    inputs, samples = prepared["inputs"], prepared["data_samples"]
    heads = list(_tensors(model.head_outputs(model.extract_feat(inputs))))
    refined = model.teach(inputs, samples).masks.cpu() > 0.5
    return _Outputs(heads, predict(model, data), refined)


def _check(figures: Figures) -> None:
    limits = [
        figures["heads_differ"] <= _MOST_DIFFERENT,
        figures["agreement"] >= _LEAST_AGREEMENT,
        figures["teacher_iou"] >= _LEAST_IOU,
    ]
    if not all(limits):
        raise CheckFailure(
            f"Expected `heads_differ` of at most {_MOST_DIFFERENT}, `agreement` of at least "
            f"{_LEAST_AGREEMENT} and `teacher_iou` of at least {_LEAST_IOU}.",
            figures,
        )


def _share_thresholds(source: Any, target: Any) -> None:
    for name in ("bbox_head", "mask_head"):
        part = getattr(source, name, None)
        if getattr(part, "test_cfg", None) is not None:
            getattr(target, name).test_cfg.update(part.test_cfg)


def _tensors(outputs: Any) -> Iterator[Tensor]:
    """Yield the tensors of nested sequences."""
    if isinstance(outputs, Tensor):
        yield outputs.cpu()
        return
    for each in outputs:
        yield from _tensors(each)


def _difference(these: list[Tensor], those: list[Tensor]) -> float:
    """Return the largest difference, relative to the largest value of its map."""
    pairs = zip(these, those, strict=True)
    shares = [(a - b).abs().max() / a.abs().max().clamp_min(1e-6) for a, b in pairs]
    return float(torch.stack(shares).max())


def agreement(these: InstanceData, those: InstanceData) -> Figures:
    """Compare two lists of detections of one image.

    Args:
        these: detections on the CPU.
        those: detections on the device.

    Returns:
        Numbers of detections, ``agreement``: the smaller share of either list whose detections
        have an equal one in the other, and ``mask_iou``: the mean IoU of the best masks.
    """
    counts = dict(cpu_detections=len(these), device_detections=len(those))
    if not len(these) or not len(those):
        same = float(len(these) == len(those))
        return dict(counts, agreement=same, mask_iou=same)
    ious = _mask_ious(_flat(these), _flat(those))
    labels, scores = ([x[key].cpu() for x in (these, those)] for key in ("labels", "scores"))
    ious = ious * (labels[0][:, None] == labels[1])
    close = (scores[0][:, None] - scores[1]).abs() <= _SCORE * scores[0][:, None]
    equal = close & (ious >= _IOU)
    share = min(equal.any(axis).double().mean().item() for axis in (0, 1))
    return dict(counts, agreement=share, mask_iou=ious.amax(1).mean().item())


def _mean_iou(these: Tensor, those: Tensor) -> float:
    """Return the mean IoU of the masks of equal objects, ``(G, S, S)`` boolean."""
    overlap, union = ((mask.sum((1, 2))) for mask in (these & those, these | those))
    return torch.where(union > 0, overlap / union.clamp_min(1), 1.0).mean().item()


def _flat(found: InstanceData) -> Tensor:
    return torch.as_tensor(found.masks).cpu().flatten(1).float()


def _mask_ious(these: Tensor, those: Tensor) -> Tensor:
    """IoUs ``(n, m)``; 1 of two empty masks."""
    overlap = these @ those.T
    union = these.sum(1)[:, None] + those.sum(1) - overlap
    return torch.where(union > 0, overlap / union.clamp_min(1), 1.0)
