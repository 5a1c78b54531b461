"""Simulate the loop label - review - train again; resumes after interruptions.

    python benchmarks/study/review_loop.py MASKS_JSON IMG_DIR --out DIR [--order proposed random]

A person looks at the first masks of the page of `tools/autolabel.py --report`, in the order that it
proposes or in another one, and accepts those whose IoU with the human mask is above 0.8. In each
round, `tools/autolabel.py` keeps the boxes and the accepted masks (`--accepted --keep-boxes`), then
trains on them and labels the other boxes anew (`--fit`). With `--correct`, the person draws the
masks that are not good enough, which come back by `--corrected`.

Steps whose file exists are not repeated, and several calls may share a folder. Each training takes
one thread, unless OMP_NUM_THREADS is set. Every round updates `OUT/review_loop.md`, `.json` and
`.png`: the IoU of the objects without an accepted mask, of all, and of validation objects
(`--val`), by rounds.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mixed_shares import ious_by_id, mark
from mmdet_discobox.labelling.labelled_boxes import has_mask, is_accepted
from mmdet_discobox.labelling.review.review_order import proposed_order
from mmdet_discobox.utils.command_line import run
from mmdet_discobox.utils.files import write_json
from mmdet_discobox.utils.types import Json
from review_report import write_report
from study_files import ROOT, locked, read_json
from study_settings import Settings

#: IoU above which the person accepts a mask
ACCEPTED = 0.8


def random_order(classes: list[str], qualities: list[float], seed: int) -> list[int]:
    """Return the indices of masks in random order."""
    return [int(each) for each in np.random.default_rng(seed).permutation(len(classes))]


Order = Callable[[list[str], list[float], int], list[int]]
ORDERS: dict[str, Order] = dict(
    proposed=lambda classes, qualities, seed: proposed_order(classes, qualities),
    random=random_order,
    best=lambda classes, qualities, seed: [int(each) for each in np.argsort(-np.array(qualities))],
)


@dataclass(frozen=True)
class Loop:
    """Rounds of one order of looks.

    Attributes:
        masks: json with the human masks, and boxes.
        images: folder of its images.
        out: folder of all loops.
        order: one of `ORDERS`.
        seed: seed of the random order, and of the trainings.
        looks: masks that the person looks at in a round.
        correct: whether the person draws the masks that are not accepted.
        epochs: epochs of each training.
        val: json with masks of validation images in the same folder.
    """

    masks: Path
    images: Path
    out: Path
    order: str
    seed: int
    looks: int
    correct: bool
    epochs: int
    val: Path | None

    @property
    def folder(self) -> Path:
        """Folder of the rounds."""
        kind = f"{self.order}{'_corrected' if self.correct else ''}_{self.looks}"
        return self.out / f"{kind}_{self.epochs}" / f"seed{self.seed}"

    def play(self, rounds: int) -> None:
        """Play the remaining rounds, and write `rounds.json`."""
        truth = read_json(self.masks)
        labels = self._first_labels(mark(truth, ()))
        results = [self._measures(labels, truth, 0)]
        for number in range(1, rounds + 1):
            labels = self._next_labels(labels, truth, number)
            results.append(self._measures(labels, truth, number))
            own = dict(order=self.order, correct=self.correct, looks=self.looks, seed=self.seed)
            write_json(self.folder / "rounds.json", {**own, "rounds": results}, indent=1)

    def _first_labels(self, boxes: Json) -> Path:
        """Label the boxes with the shipped labeller, once for all loops."""
        with locked(self.out / "labels.lock", wait=True):
            start = self.out / "boxes.json"
            if not start.is_file():
                write_json(start, boxes)
            _autolabel(self.out / "labels.json", start, self.images, self.out / "labels.json")
        return self.out / "labels.json"

    def _next_labels(self, labels: Path, truth: Json, number: int) -> Path:
        """Review the labels, train on what was accepted, and label anew."""
        folder = self.folder / f"round{number}"
        folder.mkdir(parents=True, exist_ok=True)
        good, bad = self._review(read_json(labels), truth, number)
        write_json(folder / "accepted.json", dict(accepted=good))
        words: list[object] = ["--accepted", folder / "accepted.json"]
        if self.correct:
            drawn = [a for a in truth["annotations"] if a["id"] in bad]
            write_json(folder / "corrected.json", {**truth, "annotations": drawn})
            words += ["--corrected", folder / "corrected.json"]
        following = folder / "next.json"
        _autolabel(following, *words, labels, following, "--keep-boxes")
        found = folder / "labels.json"
        fit = ("--fit", "--epochs", self.epochs, "--seed", self.seed)
        _autolabel(found, *fit, following, self.images, found)
        return found

    def _review(self, labels: Json, truth: Json, number: int) -> tuple[list[int], list[int]]:
        """Look at the first masks; return the ids of those that are good enough, and the others."""
        names = {category["id"]: category["name"] for category in labels["categories"]}
        shown = [a for a in labels["annotations"] if has_mask(a) and not is_accepted(a)]
        classes = [names[a["category_id"]] for a in shown]
        order = ORDERS[self.order](
            classes, [a["mask_quality"] for a in shown], 1000 * self.seed + number
        )
        ious = ious_by_id(labels, truth)
        looked = [shown[index]["id"] for index in order[: self.looks]]
        good = [each for each in looked if ious[each] > ACCEPTED]
        return good, [each for each in looked if ious[each] <= ACCEPTED]

    def _measures(self, path: Path, truth: Json, number: int) -> Json:
        """Compare the labels after a round with the truth."""
        labels = read_json(path)
        accepted = {a["id"] for a in labels["annotations"] if is_accepted(a)}
        ious = ious_by_id(labels, truth)
        others = [value for key, value in ious.items() if key not in accepted]
        found = dict(
            looks=number * self.looks,
            accepted=100 * len(accepted) / len(ious),
            others=100 * float(np.mean(others)) if others else None,
            all=100 * float(np.mean([*ious.values()])),
        )
        return found if self.val is None else {**found, "val": self._val_iou(path, self.val)}

    def _val_iou(self, path: Path, val: Path) -> float:
        """Label the validation images with the labeller of some labels."""
        truth = read_json(val)
        boxes, labels = path.with_name("val.json"), path.with_name("val_labels.json")
        network = path.with_name(f"{path.name}.labeler")
        files = [network / "box_labeler_lite0.py", network / "box_labeler.pth"]
        with locked(path.with_name("val.lock"), wait=True):
            write_json(boxes, mark(truth, ()))
            _autolabel(labels, *(files if network.is_dir() else ()), boxes, self.images, labels)
        return 100 * float(np.mean([*ious_by_id(read_json(labels), truth).values()]))


def _autolabel(output: Path, *words: object) -> None:
    """Run the tool, unless its output exists."""
    if not output.is_file():
        command = [sys.executable, ROOT / "tools" / "autolabel.py", *words, "--device", "cpu"]
        with output.with_suffix(".log").open("w") as log:
            subprocess.run([*map(str, command)], check=True, stdout=log, stderr=log)


def main(argv: list[str] | None = None) -> None:
    """Play the loops, order by order.

    Raises:
        ValueError: if the folder has loops of other masks.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("masks", type=Path, help="COCO json with the human masks")
    add("images", type=Path, help="folder of its images")
    add("--out", type=Path, required=True, help="folder of the results")
    add("--order", nargs="+", choices=ORDERS, default=["proposed", "random"])
    add("--looks", type=int, default=50, help="in each round (%(default)s)")
    add("--rounds", type=int, default=3, help="(%(default)s)")
    add("--seeds", type=int, nargs="+", default=[0], help="of orders and trainings (0)")
    add("--correct", action="store_true", help="the person draws masks that are not good enough")
    add("--epochs", type=int, default=8, help="of each training (%(default)s)")
    add("--val", type=Path, help="json with masks of other images in the same folder")
    args = parser.parse_args(argv)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    settings = Settings(args.out, data=args.images.resolve().parent)
    jsons = [path.resolve() for path in (args.masks, args.val) if path is not None]
    settings.check(jsons, detectors=False)
    for order in args.order:
        for seed in args.seeds:
            each = Loop(
                args.masks, args.images, args.out, order, seed, args.looks, args.correct,
                args.epochs, args.val,
            )  # fmt: skip
            for rounds in range(1, args.rounds + 1):
                print(f"{order}, seed {seed}, round {rounds} ...", flush=True)
                each.play(rounds)
                write_report(args.out)
    print(write_report(args.out))


if __name__ == "__main__":
    run(main)
