"""Fit and test the predicted quality of labels on data sets with human masks.

    python benchmarks/bench_quality.py shipped --fit ANN_JSON IMG_DIR --fit ANN_JSON IMG_DIR \
        --test ANN_JSON IMG_DIR [--plot FILE]

The first argument says where coarse masks come from: ``shipped`` (the labeller in the package),
``colours``, or ``CONFIG,CHECKPOINT``. Half of the images of every ``--fit`` set fit the weights of
a :class:`QualityModel`, which is printed. Rank correlation and calibration on the other half and on
the ``--test`` sets are those of this model; without ``--fit``, those of the package.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import matplotlib
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from scipy.optimize import minimize
from scipy.stats import spearmanr
from torch import Tensor

from annotated_images import iou
from bench_autolabel import boxed_images
from mmdet_discobox.apis import AutoLabeler
from mmdet_discobox.labelling.fine_teacher import FineTeacher
from mmdet_discobox.labelling.mask_quality import QualityModel, log_signal
from mmdet_discobox.utils.command_line import run

matplotlib.use("Agg")  # no window
import matplotlib.pyplot as plt  # noqa: E402

#: equal parts of the labels, by their quality, whose means are compared
BINS = 5
#: weight of the squared coefficients of the regression: with less, the few objects of a detector's
#: class on half of a set decide
RIDGE = 3e-4


class RecordingTeacher(FineTeacher):
    """A teacher that remembers the signals of the masks it rates."""

    def __init__(self, own: FineTeacher) -> None:
        super().__init__(own.first, own.second.crop_size)
        self.signals: list[dict[str, Tensor]] = []

    def rate(self, signals: Mapping[str, Tensor], predicted: Tensor) -> Tensor:
        """Remember the signals."""
        self.signals.append({**signals, "predicted": predicted})
        return super().rate(signals, predicted)


@dataclass(frozen=True)
class Ratings:
    """Labels of a part of a data set.

    Attributes:
        name: of the part.
        signals: ``(G,)`` each, by their names.
        quality: ``(G,)`` predicted IoU.
        ious: ``(G,)`` IoU with the human masks.
    """

    name: str
    signals: dict[str, Tensor]
    quality: np.ndarray
    ious: np.ndarray

    def rated_by(self, model: QualityModel) -> Ratings:
        """Return the same labels with the qualities of a model."""
        return replace(self, quality=model(self.signals).numpy())

    @property
    def correlation(self) -> float:
        """Rank correlation of quality and IoU."""
        return float(spearmanr(self.quality, self.ious).statistic)

    @property
    def bins(self) -> list[tuple[float, float]]:
        """Mean quality and mean IoU of equal parts of the labels, from low to high quality."""
        parts = np.array_split(self.quality.argsort(), min(BINS, len(self.quality)))
        return [(self.quality[part].mean(), self.ious[part].mean()) for part in parts]


def rate(labeler: AutoLabeler, ann_json: Path, img_dir: Path, limit: int, parts: int) -> list:
    """Label a data set, and return the ratings of every ``parts``-th image, for each remainder."""
    teacher = labeler.teacher = RecordingTeacher(labeler.teacher)
    args = argparse.Namespace(ann_json=ann_json, img_dir=img_dir, limit=limit, seed=0)
    rows: list[list] = [[] for _ in range(parts)]
    for index, (image, truth) in enumerate(boxed_images(args)):
        teacher.signals.clear()
        labels = labeler([image])[0]
        found = np.stack([label.full(truth.shape[1:]) for label in labels])
        signals = {k: torch.cat([s[k] for s in teacher.signals]) for k in teacher.signals[0]}
        rows[index % parts].append((signals, [one.quality for one in labels], iou(found, truth)))
    if not all(rows):
        raise ValueError(f"Expected at least {parts} images with masks in '{ann_json}'.")
    name = f"{ann_json.parent.name}/{ann_json.stem}"
    return [_joined(f"{name} {i + 1}/{parts}", part) for i, part in enumerate(rows)]


def _joined(name: str, rows: Sequence[tuple]) -> Ratings:
    """Return the ratings of all images; with a network, of the masks that it predicted."""
    signals, qualities, ious = zip(*rows, strict=True)
    joined = {key: torch.cat([own[key] for own in signals]) for key in signals[0]}
    kept = joined.pop("predicted")
    kept = kept if kept.any() else ~kept
    values = (np.concatenate(one)[kept.numpy()] for one in (qualities, ious))
    return Ratings(name, {key: signal[kept] for key, signal in joined.items()}, *values)


def fit(sets: Sequence[Ratings], names: Sequence[str]) -> QualityModel:
    """Fit a regression without negative weights; every set counts alike.

    Small weights are preferred; then all are scaled, so that the qualities keep their spread.
    """
    logs = [np.stack([log_signal(s.signals[n]).numpy() for n in names], 1) for s in sets]
    values, ious = np.concatenate(logs), np.concatenate([one.ious for one in sets])
    shares = np.concatenate([np.full(len(s.ious), 1 / len(s.ious) / len(sets)) for s in sets])

    def error(logits: np.ndarray) -> float:
        return float((shares * (1 / (1 + np.exp(-logits)) - ious) ** 2).sum())

    def penalised(weights: np.ndarray) -> float:
        return error(values @ weights[1:] + weights[0]) + RIDGE * float((weights[1:] ** 2).sum())

    bounds = [(None, None)] + [(0, None)] * len(names)
    start = np.r_[1.0, np.full(len(names), 0.1)]
    own = minimize(penalised, start, bounds=bounds).x[1:]
    bias, scale = minimize(lambda x: error(x[1] * (values @ own) + x[0]), [1.0, 1.0]).x
    found = (scale * own).round(2)
    weights = {name: float(w) for name, w in zip(names, found, strict=True) if w > 0}
    return QualityModel(float(bias.round(2)), weights)


def draw(path: Path, sets: Sequence[Ratings]) -> None:
    """Draw the reliability of the qualities."""
    _, axis = plt.subplots(figsize=(4.2, 4), layout="constrained")
    axis.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
    axis.fill_between([0, 1], [-0.05, 0.95], [0.05, 1.05], color="grey", alpha=0.15, linewidth=0)
    for one in sets:
        axis.plot(*zip(*one.bins, strict=True), "o-", markersize=4, label=one.name)
    axis.set(xlabel="mean quality", ylabel="mean IoU with the human masks")
    low = min(min(pair) for one in sets for pair in one.bins) - 0.05
    axis.set(xlim=(low, 1), ylim=(low, 1), aspect="equal")
    axis.legend(fontsize=7)
    plt.savefig(path, dpi=110)


def _labeler(source: str) -> AutoLabeler:
    if source == "shipped":
        return AutoLabeler.shipped()
    return AutoLabeler() if source == "colours" else AutoLabeler.from_files(*source.split(","))


def main(argv: Sequence[str] | None = None) -> None:
    """Fit, measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", help="shipped, colours, or CONFIG,CHECKPOINT")
    pair = dict(type=Path, nargs=2, action="append", default=[], metavar=("ANN_JSON", "IMG_DIR"))
    parser.add_argument("--fit", **pair)
    parser.add_argument("--test", **pair)
    parser.add_argument("--limit", type=int, default=2000, help="boxes of each set")
    parser.add_argument("--plot", type=Path, help="reliability plot of the tested parts")
    args = parser.parse_args(argv)
    labeler = _labeler(args.source)
    halves = [rate(labeler, *paths, args.limit, 2) for paths in args.fit]
    tests = [half for _, half in halves]
    tests += [one for paths in args.test for one in rate(labeler, *paths, args.limit, 1)]
    if halves:
        names = list(halves[0][0].signals)
        if args.source == "colours":
            names = [name for name in names if name not in ("agreement", "network")]
        model = fit([half for half, _ in halves], names)
        print(model)
        tests = [one.rated_by(model) for one in tests]
    table = Table("set", "labels", "rank correlation", "mean quality / IoU", "of each fifth")
    for one in tests:
        fifths = "  ".join(f"{quality:.2f}/{value:.2f}" for quality, value in one.bins)
        means = f"{one.quality.mean():.3f} / {one.ious.mean():.3f}"
        table.add_row(one.name, str(len(one.ious)), f"{one.correlation:.2f}", means, fifths)
    Console(width=140).print(table)
    if args.plot:
        draw(args.plot, tests)


if __name__ == "__main__":
    run(main)
