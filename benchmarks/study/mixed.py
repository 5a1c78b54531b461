"""Measure labels by a labeller trained on boxes and some true masks; resumes after interruptions.

    python benchmarks/study/mixed.py --data DIR --out DIR [--shares 0 10 ...] [--seeds 0 1 2]

For each share of the training objects, chosen at random such that smaller shares are part of larger
ones, `tools/autolabel.py --fit` trains the shipped labeller on boxes and these masks (`mixed`), or
on these objects alone (`alone`), and labels the others and the validation images. The masks of all
other objects are only compared with. Finished runs are not repeated. Each run updates
`OUT/mixed.md`, `mixed.json` and `mixed.png`: mean IoU with human masks, and the share of IoUs above
0.75.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from pycocotools import mask as coco_mask

from mmdet_discobox.labelling.reviewed_masks import with_accepted_masks
from mmdet_discobox.utils.command_line import run
from mmdet_discobox.utils.files import write_json, write_text
from mmdet_discobox.utils.rle import to_rle
from mmdet_discobox.utils.types import Json
from study_files import ROOT, read_complete_json

TITLES = dict(others="training objects without a mask", val="validation objects")


@dataclass(frozen=True)
class LabelRun:
    """A labeller of one share of true masks and one seed.

    Attributes:
        data: folder with `train_masks.json`, `val.json` and `images`.
        folder: folder of the run.
        share: objects with a true mask, in percent.
        seed: seed of their choice.
        alone: whether the other boxes are left out of the training.
        epochs: epochs of the training.
    """

    data: Path
    folder: Path
    share: int
    seed: int
    alone: bool
    epochs: int

    @property
    def result(self) -> Json | None:
        """The measures of the finished run."""
        found: Json | None = read_complete_json(self.folder / "result.json")
        return found

    def execute(self) -> None:
        """Run the remaining steps."""
        self.folder.mkdir(parents=True, exist_ok=True)
        train, val = (
            json.loads((self.data / f"{n}.json").read_bytes()) for n in ("train_masks", "val")
        )
        chosen = choose(train, self.share, self.seed)
        boxes = mark(train, chosen)
        fitted = only(boxes, chosen) if self.alone else boxes
        labels = self.autolabel("fit", fitted, "--fit", "--epochs", self.epochs)
        network = self.folder / "fit_labels.json.labeler"
        files = (network / "box_labeler_lite0.py", network / "box_labeler.pth")
        if self.alone:  # the others were not labelled
            labels = self.autolabel("others", boxes, *files)
        scores = dict(
            others=ious(labels, train, leaving_out=chosen),
            val=ious(self.autolabel("val", mark(val, set()), *files), val),
        )
        measures = {name: summary(each) for name, each in scores.items() if len(each)}
        own = dict(share=self.share, seed=self.seed, alone=self.alone, masks=len(chosen))
        write_json(self.folder / "result.json", {**own, **measures}, indent=1)

    def autolabel(self, name: str, dataset: Json, *words: object) -> Json:
        """Label a data set with the tool, unless this is done."""
        boxes, labels = self.folder / f"{name}.json", self.folder / f"{name}_labels.json"
        if not labels.is_file():
            write_json(boxes, dataset)
            tool = [sys.executable, ROOT / "tools" / "autolabel.py"]
            command = [*tool, *words, boxes, self.data / "images", labels, "--device", "cpu"]
            with (self.folder / f"{name}.log").open("w") as log:
                subprocess.run([*map(str, command)], check=True, stdout=log, stderr=log)
        result: Json = json.loads(labels.read_bytes())
        return result


def choose(dataset: Json, share: int, seed: int) -> set[int]:
    """Choose ids of objects at random; smaller shares are part of larger ones."""
    ids = [a["id"] for a in dataset["annotations"] if not a.get("iscrowd")]
    order = np.random.default_rng(seed).permutation(len(ids))
    return {ids[index] for index in order[: round(len(ids) * share / 100)]}


def mark(dataset: Json, chosen: set[int]) -> Json:
    """Return the boxes, with the masks of the chosen objects marked as a person's."""
    annotations = [
        {**a, "mask_source": "person" if a["id"] in chosen else "machine"}
        for a in dataset["annotations"]
        if not a.get("iscrowd")
    ]
    return with_accepted_masks({**dataset, "annotations": annotations})


def only(dataset: Json, chosen: set[int]) -> Json:
    """Return the chosen objects, and their images."""
    annotations = [a for a in dataset["annotations"] if a["id"] in chosen]
    used = {a["image_id"] for a in annotations}
    images = [image for image in dataset["images"] if image["id"] in used]
    return {**dataset, "images": images, "annotations": annotations}


def ious(
    labels: Json, truth: Json, *, leaving_out: frozenset[int] | set[int] = frozenset()
) -> np.ndarray:
    """Compare the labels of a machine with true masks."""
    sizes = {image["id"]: (image["height"], image["width"]) for image in truth["images"]}
    masks = {a["id"]: a for a in labels["annotations"] if a.get("segmentation")}
    found = []
    for a in truth["annotations"]:
        if a.get("iscrowd") or a["id"] in leaving_out or a["id"] not in masks:
            continue
        height, width = sizes[a["image_id"]]
        both = [
            to_rle(each["segmentation"], height=height, width=width) for each in (masks[a["id"]], a)
        ]
        found.append(coco_mask.iou(both[:1], both[1:], [0])[0, 0])
    return np.array(found)


def summary(values: np.ndarray) -> Json:
    """Return mean IoU and the share above 0.75, in percent."""
    return dict(iou=100 * values.mean(), good=100 * (values > 0.75).mean(), objects=len(values))


def report(out: Path) -> str:
    """Write table, numbers and plot of the finished runs; return the table."""
    results = [r for path in sorted(out.glob("*/result.json")) if (r := read_complete_json(path))]
    lines = ["| masks | trained on | seeds | " + " | ".join(TITLES.values()) + " |"]
    lines.append("|---" * (3 + len(TITLES)) + "|")
    figure = Figure(figsize=(5, 3.5), layout="constrained")
    axes = figure.subplots()
    for alone in (False, True):
        curve = []
        for share in sorted({r["share"] for r in results if r["alone"] == alone}):
            own = [r for r in results if (r["share"], r["alone"]) == (share, alone)]
            cells = [_cell([r[name] for r in own if name in r]) for name in TITLES]
            kind = "these objects alone" if alone else "boxes of all + masks"
            lines.append(f"| {share} % | {kind} | {len(own)} | " + " | ".join(cells) + " |")
            values = [r["val"]["iou"] for r in own]
            curve.append((share, np.mean(values), np.std(values)))
        if curve:
            axes.errorbar(*np.array(curve).T, marker="o", capsize=3, label=kind)
            axes.legend()
    axes.set(xlabel="objects with a true mask (%)", ylabel="mean IoU of labels, validation (%)")
    figure.savefig(out / "mixed.png", dpi=150)
    write_json(out / "mixed.json", results, indent=1)
    write_text(out / "mixed.md", "\n".join(lines) + "\n")
    return "\n".join(lines)


def _cell(runs: list[Json]) -> str:
    if not runs:
        return "-"
    values = [r["iou"] for r in runs]
    spread = f" ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
    return f"{np.mean(values):.1f}{spread} ({np.mean([r['good'] for r in runs]):.0f} %)"


def main(argv: list[str] | None = None) -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of `persons`")
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--shares", type=int, nargs="+", default=[0, 5, 10, 20, 50, 100])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=8, help="of each training (%(default)s)")
    parser.add_argument("--alone", action="store_true", help="also train on the masks alone")
    args = parser.parse_args(argv)
    for seed in args.seeds:
        for share in args.shares:
            for alone in (False, True) if args.alone and share else (False,):
                folder = args.out / f"{'alone' if alone else 'mixed'}-{share}-{args.epochs}-{seed}"
                each = LabelRun(args.data, folder, share, seed, alone, args.epochs)
                if each.result is None:
                    print(f"{folder.name} ...", flush=True)
                    each.execute()
                    report(args.out)
    print(report(args.out))


if __name__ == "__main__":
    run(main)
