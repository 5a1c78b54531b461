"""Measure the time of a loader per image, with boxes alone and with masks.

    python benchmarks/bench_loader.py [--configs CONFIG ...] [--images N]

Ratios are relative to the first config. The data sets must exist.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

from mmdet.registry import DATASETS
from mmengine.config import Config
from mmengine.registry import init_default_scope

import mmdet_discobox  # noqa: F401 - registers everything

CONFIGS = Path(__file__).resolve().parents[1] / "configs" / "lite0"
DEFAULT = [CONFIGS / "persons_solov2_lite0_mask.py", CONFIGS / "persons_solov2_lite0.py"]


def image_seconds(paths: list[Path], images: int) -> list[list[float]]:
    """Return the seconds of the pipeline per config and image; configs alternate."""
    datasets = [DATASETS.build(Config.fromfile(path).train_dataloader.dataset) for path in paths]
    seconds: list[list[float]] = [[] for _ in paths]
    for index in range(images + 1):
        for dataset, own in zip(datasets, seconds, strict=True):
            start = time.perf_counter()
            dataset[index % len(dataset)]
            if index:  # the first image warms up
                own.append(time.perf_counter() - start)
    return seconds


def main(argv: list[str] | None = None) -> None:
    """Print medians and ratios."""
    parser = argparse.ArgumentParser(description="Measure the loader with boxes and with masks.")
    parser.add_argument("--configs", type=Path, nargs="+", default=DEFAULT)
    parser.add_argument("--images", type=int, default=200, help="per config (%(default)s)")
    args = parser.parse_args(argv)
    init_default_scope("mmdet")
    medians = [statistics.median(own) for own in image_seconds(args.configs, args.images)]
    for path, median in zip(args.configs, medians, strict=True):
        print(f"{path.stem:32s} {1e3 * median:7.2f} ms per image  x{median / medians[0]:.2f}")


if __name__ == "__main__":
    main()
