"""Time what a loader does for a picture, with boxes alone and with masks.

    python benchmarks/bench_loader.py [--configs CONFIG ...] [--pictures N]

The first config is the measure of the others; their data sets have to exist.
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


def picture_seconds(paths: list[Path], pictures: int) -> list[list[float]]:
    """Seconds of each picture's pipeline, for each config; pictures are taken in turn."""
    datasets = [DATASETS.build(Config.fromfile(path).train_dataloader.dataset) for path in paths]
    seconds: list[list[float]] = [[] for _ in paths]
    for index in range(pictures + 1):
        for dataset, mine in zip(datasets, seconds, strict=True):
            start = time.perf_counter()
            dataset[index % len(dataset)]
            if index:  # the first picture warms up
                mine.append(time.perf_counter() - start)
    return seconds


def main(argv: list[str] | None = None) -> None:
    """Print medians and ratios."""
    parser = argparse.ArgumentParser(description="Time the loader with boxes and with masks.")
    parser.add_argument("--configs", type=Path, nargs="+", default=DEFAULT)
    parser.add_argument("--pictures", type=int, default=200, help="of each (%(default)s)")
    args = parser.parse_args(argv)
    init_default_scope("mmdet")
    medians = [statistics.median(mine) for mine in picture_seconds(args.configs, args.pictures)]
    for path, median in zip(args.configs, medians, strict=True):
        print(f"{path.stem:32s} {1e3 * median:7.2f} ms a picture  x{median / medians[0]:.2f}")


if __name__ == "__main__":
    main()
