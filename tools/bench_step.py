"""Time a training step of DiscoBox SOLOv2 against the stock, mask-supervised SOLOv2.

Steps of the variants are taken in turn, so that a machine whose speed drifts treats them alike;
ratios are of medians.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData

import mmdet_discobox  # noqa: F401 - registers everything

CONFIGS = Path(__file__).resolve().parents[1] / "configs" / "discobox"


def random_batch(size: tuple[int, int], objects: list[int], seed: int) -> dict[str, Any]:
    """Random pictures with boxes, and boxes as masks for the stock detector."""
    rng = np.random.default_rng(seed)
    height, width = size
    samples, inputs = [], []
    for count in objects:
        corners = rng.uniform(0, 0.6, (count, 2)) * (width, height)
        boxes = np.concatenate(
            [corners, corners + rng.uniform(0.1, 0.4, (count, 2)) * (width, height)], 1
        )
        masks = np.zeros((count, height, width), dtype=np.uint8)
        for mask, (x1, y1, x2, y2) in zip(masks, boxes.astype(int), strict=True):
            mask[y1:y2, x1:x2] = 1
        sample = DetDataSample(metainfo=dict(img_shape=size, ori_shape=size))
        sample.gt_instances = InstanceData(
            bboxes=torch.as_tensor(boxes, dtype=torch.float32),
            labels=torch.zeros(count, dtype=torch.long),
            masks=BitmapMasks(masks, height, width),
        )
        sample.ignored_instances = InstanceData(
            bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long)
        )
        samples.append(sample)
        inputs.append(torch.as_tensor(rng.integers(0, 255, (3, height, width), dtype=np.uint8)))
    return dict(inputs=inputs, data_samples=samples)


def variants(device: str) -> dict[str, torch.nn.Module]:
    """The detectors that are compared, with equal networks."""
    stock = Config.fromfile(CONFIGS / "persons_solov2_lite0_mask.py").model
    ours = Config.fromfile(CONFIGS / "persons_solov2_lite0.py").model
    alone = Config.fromfile(CONFIGS / "persons_solov2_lite0.py").model
    alone.teacher_network = None
    mil = Config.fromfile(CONFIGS / "persons_solov2_lite0_mil.py").model
    models = {
        "stock SOLOv2, masks": stock,
        "MIL": mil,
        "MIL + con, no teacher network": alone,
        "MIL + con, teacher network": ours,
    }
    built = {name: MODELS.build(config).to(device).train() for name, config in models.items()}
    full = built["MIL + con, teacher network"]
    full.teacher.update_parameters(full)
    return built


def step(model: torch.nn.Module, batch: dict[str, Any]) -> float:
    """Seconds of one forward and backward pass."""
    data = model.data_preprocessor(batch, True)
    if data["inputs"].is_cuda:
        torch.cuda.synchronize()
    start = time.perf_counter()
    losses = model(**data, mode="loss")
    sum(value for key, value in losses.items() if "loss" in key).backward()
    if data["inputs"].is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - start


def main() -> None:
    """Print a table of medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, nargs=2, default=(320, 320), help="height and width")
    parser.add_argument("--objects", type=int, nargs="+", default=[2] * 8, help="of each image")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    init_default_scope("mmdet")
    models = variants(args.device)
    times: dict[str, list[float]] = {name: [] for name in models}
    for repeat in range(args.repeats + 1):
        for name, model in models.items():
            seconds = step(model, random_batch(tuple(args.size), args.objects, repeat))
            if repeat:  # the first step of each warms up
                times[name].append(seconds)
    first = statistics.median(next(iter(times.values())))
    print(f"{len(args.objects)} images of {args.size}, {sum(args.objects)} objects, {args.device}")
    for name, seconds in times.items():
        median = statistics.median(seconds)
        print(f"{name:32s} {median:7.3f} s (min {min(seconds):.3f})  x{median / first:.2f}")


if __name__ == "__main__":
    main()
