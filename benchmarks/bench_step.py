"""Measure training steps and predictions of DiscoBox beside those of stock detectors.

    python benchmarks/bench_step.py [--config CONFIG ...] [--quick] [--only SECTION ...]

Sections: `step` (seconds of detectors and phases), `memory`, `parts` (shares of a step), `predict`
(images per second), `objects`, `sizes`, `classes` (scaling of a step), `ranks` (efficiency of a
second process). Images and boxes are random. A step takes a batch of a loader and updates weights
and teacher network; the object bank is full. Times are medians, ratios are relative to the first
row. BoxInst is measured if scikit-image is installed.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from rich.console import Console
from rich.table import Table

from bench_batch import Workload
from bench_measure import part_seconds, peak_megabytes, predict_seconds, step_seconds
from bench_models import BOXINST, FULL, STOCK, Variant, read_config, variants
from bench_ranks import RANKS, rank_seconds

CONFIGS = Path(__file__).resolve().parents[1] / "configs" / "lite0"
DEFAULT = [CONFIGS / "persons_solov2_lite0.py", CONFIGS / "persons_yolact_lite0.py"]
QUICK = dict(size=(160, 160), images=2, repeats=2, only=["step", "memory", "parts", "predict"])
Rows = list[dict[str, Any]]


class Bench:
    """The measurements of one config on one machine.

    Args:
        path: path of a DiscoBox config.
        args: command line.
    """

    def __init__(self, path: Path, args: argparse.Namespace) -> None:
        self.path = path
        self.args = args
        self.config: Config = read_config(path)
        self.rows: list[Variant] = variants(self.config)
        self.work = Workload(tuple(args.size), args.images, args.objects, args.classes)
        stock = next(row for row in self.rows if row.kind == STOCK)
        full = next(row for row in self.rows if row.kind == FULL and row.gates == (True, True))
        self.pair = [stock, full]

    def step(self) -> Rows:
        """Measure the seconds of each detector and phase."""
        return self._steps(self.rows, self.work, self.args.repeats)

    def _steps(self, rows: list[Variant], work: Workload, repeats: int) -> Rows:
        found = step_seconds(self.config, rows, work, device=self.args.device, repeats=repeats)
        medians = {name: statistics.median(values) for name, values in found.items()}
        first = medians[rows[0].name]
        return [
            dict(
                variant=name,
                seconds=medians[name],
                least=min(values),
                ratio=medians[name] / first,
                all_seconds=values,
            )
            for name, values in found.items()
        ]

    def memory(self) -> Rows:
        """Measure the peak memory."""
        rows = self.pair if self.args.quick else self.rows
        peaks = peak_megabytes(self.path, rows, self.work, device=self.args.device)
        first = peaks[rows[0].name]
        return [dict(variant=n, megabytes=mb, ratio=mb / first) for n, mb in peaks.items()]

    def parts(self) -> Rows:
        """Measure the share of each part of a step."""
        found = []
        for row in [r for r in self.rows if r.kind != BOXINST and all(r.gates)]:
            steps = part_seconds(
                self.config, row, self.work, device=self.args.device, repeats=self.args.repeats
            )
            medians = {
                part: statistics.median(s.get(part, 0.0) for s in steps) for part in steps[0]
            }
            total = sum(medians.values())
            found += [
                dict(variant=row.name, part=part, seconds=value, share=value / total)
                for part, value in sorted(medians.items(), key=lambda item: -item[1])
            ]
        return found

    def predict(self) -> Rows:
        """Measure the predicted images per second."""
        found = predict_seconds(
            self.config,
            self.work,
            device=self.args.device,
            repeats=3 * self.args.repeats,
            detections=self.args.detections,
        )
        medians = {name: statistics.median(seconds) for name, (_, seconds) in found.items()}
        first = next(iter(medians.values()))
        return [
            dict(variant=n, fps=1 / m, ratio=m / first, detections=found[n][0])
            for n, m in medians.items()
        ]

    def objects(self) -> Rows:
        """Measure the seconds by objects per image."""
        return self._scaling("objects", {n: dict(objects=n) for n in self.args.scale_objects})

    def sizes(self) -> Rows:
        """Measure the seconds by the side of square images."""
        return self._scaling("side", {n: dict(size=(n, n)) for n in self.args.scale_sizes})

    def classes(self) -> Rows:
        """Measure the seconds by the number of classes."""
        return self._scaling("classes", {n: dict(classes=n) for n in self.args.scale_classes})

    def _scaling(self, name: str, changes: dict[int, dict[str, Any]]) -> Rows:
        """Measure steps of two images with changed workloads."""
        repeats = max(1, self.args.repeats // 2)
        return [
            {name: value, **row}
            for value, change in changes.items()
            for row in self._steps(self.pair, replace(self.work, images=2, **change), repeats)
        ]

    def ranks(self) -> Rows:
        """Measure the efficiency of distributed training on the CPU, with one thread per rank."""
        found = []
        for row in self.pair:
            alone, together = (
                statistics.median(rank_seconds(self.path, row, self.work, ranks, self.args.repeats))
                for ranks in (1, RANKS)
            )
            found.append(
                dict(variant=row.name, alone=alone, together=together, efficiency=alone / together)
            )
        return found


SECTIONS: dict[str, Callable[[Bench], Rows]] = dict(
    step=Bench.step,
    memory=Bench.memory,
    parts=Bench.parts,
    predict=Bench.predict,
    objects=Bench.objects,
    sizes=Bench.sizes,
    classes=Bench.classes,
    ranks=Bench.ranks,
)


def matching_cost(rows: Rows) -> float:
    """Return the relative cost of the cross-image term and ``L_nce`` in a step."""
    seconds = {row["variant"]: row["seconds"] for row in rows}
    return float(seconds["L_mil, L_con, L_nce"] / seconds["L_mil, L_con"] - 1)


def show(title: str, rows: Rows, console: Console) -> None:
    """Print a table with a column for each key."""
    formats = dict(
        seconds="{:.3f} s", least="{:.3f} s", ratio="x{:.2f}", megabytes="{:.0f} MB",
        share="{:.1%}", fps="{:.1f}/s", alone="{:.3f} s", together="{:.3f} s", efficiency="{:.0%}",
    )  # fmt: skip
    table = Table(title=title, title_justify="left")
    columns = [key for key in rows[0] if key != "all_seconds"]
    for column in columns:
        table.add_column(column, justify="left" if column in ("variant", "part") else "right")
    for row in rows:
        table.add_row(*(formats.get(column, "{}").format(row[column]) for column in columns))
    console.print(table)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="Measure training steps and predictions.")
    add = parser.add_argument
    add("--config", type=Path, nargs="+", default=DEFAULT, help="DiscoBox configs with all losses")
    add("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS), help="sections to measure")
    add("--size", type=int, nargs=2, default=(320, 320), help="height and width (%(default)s)")
    add("--images", type=int, default=8, help="images per batch (%(default)s)")
    add("--objects", type=int, default=2, help="objects per image (%(default)s)")
    add("--classes", type=int, help="number of classes (default: the config's)")
    add("--detections", type=int, default=20, help="approximate detections (%(default)s)")
    add("--repeats", type=int, default=7, help="steps after a first one (%(default)s)")
    add("--scale-objects", type=int, nargs="+", default=[1, 5, 20, 50, 100, 200])
    add("--scale-sizes", type=int, nargs="+", default=[192, 320, 448, 640])
    add("--scale-classes", type=int, nargs="+", default=[1, 20, 80])
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add("--quick", action="store_true", help="small images and few repeats: about a minute")
    add("--json", type=Path, help="json of all results")
    if parser.parse_args(argv).quick:
        parser.set_defaults(**QUICK)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Run the benchmark."""
    args = parse_args(argv)
    init_default_scope("mmdet")
    console = Console()
    run = dict(
        {key: str(value) for key, value in vars(args).items()},
        torch=torch.__version__,
        threads=torch.get_num_threads(),
        machine=platform.processor() or platform.machine(),
    )
    console.print(
        f"{args.device}, {run['threads']} thread(s), torch {torch.__version__}; {args.images} "
        f"images of {args.size[0]}x{args.size[1]}, {args.objects} objects each"
    )
    report: dict[str, Any] = dict(run=run)
    for path in args.config:
        bench = Bench(path, args)
        found = report[path.stem] = {}
        for section in args.only:
            found[section] = SECTIONS[section](bench)
            show(f"{path.stem}: {section}", found[section], console)
        if "step" in found:
            found["matching_cost"] = matching_cost(found["step"])
            console.print(
                f"{path.stem}: the cross-image term and L_nce add {found['matching_cost']:+.1%}"
            )
        if args.json:
            args.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
