"""Runs of the study of some true masks: labellers, and detectors from masks, boxes or labels."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mixed_shares import choose, ious, mark, only, summary
from mmdet_discobox.utils.files import write_json
from mmdet_discobox.utils.types import Json
from study_files import ROOT, locked, read_complete_json, read_json
from study_runs import BUSY, Run
from study_settings import Settings
from study_tables import CONFIGS, Row

#: data set -> its json with all masks, and that of its validation images
FILES: dict[str, tuple[str, str | None]] = dict(
    persons=("train_masks.json", "val.json"),
    pennfudan=("train_masks.json", "val_masks.json"),
    coco_mini=("instances.json", None),
)
LABELS = dict(
    mixed="labels: boxes of all + masks",
    alone="labels: these objects alone",
)
DETECTORS = dict(
    masks=("(a) stock SOLOv2: these objects alone", "solov2_lite0_mask", False),
    ours=("(b) DiscoBox SOLOv2: boxes of all + masks", "solov2_lite0_mixed", True),
    balanced=("(b) the same, masks sampled more often", "solov2_lite0_mixed_balanced", True),
    student=("(c) stock SOLOv2 on labels of boxes + masks", "solov2_lite0_mask", False),
)
KINDS = {**LABELS, **{name: title for name, (title, _, _) in DETECTORS.items()}}
#: kinds without a training of their own at a share: without masks, and where all have one
ABSENT: dict[int, tuple[str, ...]] = {
    0: ("alone", "masks", "balanced"),
    100: ("alone", "balanced", "student"),
}


def config_file(kind: str, data: str) -> Path:
    """Return the config of a detector of `DETECTORS` on a data set."""
    return CONFIGS / f"{data}_{DETECTORS[kind][1]}.py"


@dataclass(frozen=True)
class Task:
    """One kind of training, on one share of the masks of a data set, with one seed.

    Attributes:
        kind: one of `KINDS`.
        data: data set, one of `FILES`.
        share: objects with a true mask, in percent.
        seed: seed of their choice, and of the training.
        label_epochs: epochs of a labeller.
        settings: settings of the detectors; `settings.data` is the folder of all data sets.
    """

    kind: str
    data: str
    share: int
    seed: int
    label_epochs: int
    settings: Settings

    @property
    def folder(self) -> Path:
        """Folder of the run."""
        name = f"{self.kind}_{self.share}"
        return self.settings.out / self.data / name / f"seed{self.seed}"

    @property
    def result(self) -> Json | None:
        """The measures of the finished run.

        Raises:
            ValueError: if the finished labeller was trained for another number of epochs.
        """
        found: Json | None = read_complete_json(self.folder / "result.json")
        if found and found.get("label_epochs", self.label_epochs) != self.label_epochs:
            raise ValueError(
                f"Expected labellers of {self.label_epochs} epochs in {self.folder}, but got "
                f"{found['label_epochs']}. Use the same --label-epochs, or another --out."
            )
        return found

    def execute(self) -> str | None:
        """Run the remaining steps; return the reason of a failure, None on success."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.kind not in LABELS:
            return self._detect()
        with locked(self.folder / "label.lock") as lock:
            if lock is None:
                return BUSY
            try:
                self._label(lock)
            except subprocess.CalledProcessError as error:
                return f"{error.cmd[1]} failed, see {self.folder}"
        return None

    def _label(self, lock: int) -> None:
        """Train a labeller on boxes and masks, and compare its labels."""
        start = time.time()
        train, val = self._read()
        chosen = choose(train, self.share, self.seed)
        boxes = mark(train, chosen)
        fitted = only(boxes, chosen) if self.kind == "alone" else boxes
        words = ("--fit", "--epochs", self.label_epochs, "--seed", self.seed)
        labels = self._autolabel(lock, "fit", fitted, *words)
        network = self.folder / "fit_labels.json.labeler"
        files = (network / "box_labeler_lite0.py", network / "box_labeler.pth")
        if self.kind == "alone":  # the others were not labelled
            labels = self._autolabel(lock, "others", boxes, *files)
        scores = dict(others=ious(labels, train, leaving_out=chosen))
        if val is not None:
            scores["val"] = ious(self._autolabel(lock, "val", mark(val, set()), *files), val)
        measures = {name: summary(each) for name, each in scores.items() if len(each)}
        own = dict(label_epochs=self.label_epochs, masks=len(chosen), seconds=time.time() - start)
        write_json(self.folder / "result.json", {**own, "measures": measures}, indent=1)

    def _read(self) -> list[Any]:
        root = (self.settings.data or Path()) / self.data
        return [None if name is None else read_json(root / name) for name in FILES[self.data]]

    def _autolabel(self, lock: int, name: str, dataset: Json, *words: object) -> Json:
        """Label a data set with the tool, unless this is done.

        The tool inherits the lock: it may outlive a study that is killed.
        """
        boxes, labels = self.folder / f"{name}.json", self.folder / f"{name}_labels.json"
        if not labels.is_file():
            write_json(boxes, dataset)
            images = (self.settings.data or Path()) / self.data / "images"
            tool = [sys.executable, ROOT / "tools" / "autolabel.py"]
            command = [*tool, *words, boxes, images, labels, "--device", "cpu"]
            with (self.folder / f"{name}.log").open("w") as log:
                options = dict(stdout=log, stderr=log, pass_fds=[lock])
                subprocess.run([*map(str, command)], check=True, **options)
        result: Json = read_json(labels)
        return result

    def _detect(self) -> str | None:
        """Train and test a detector with `mim`."""
        title, _, boxes = DETECTORS[self.kind]
        json_file = self.folder / "train.json"
        if self.kind == "student":
            labels = replace(self, kind="mixed")
            if labels.result is None and (failure := labels.execute()):
                return failure
            json_file = labels.folder / "fit_labels.json"
        elif not json_file.is_file():
            train = self._read()[0]
            chosen = choose(train, self.share, self.seed)
            marked = mark(train, chosen)
            write_json(json_file, only(marked, chosen) if self.kind == "masks" else marked)
        nested = "dataset." * (self.kind == "balanced")
        row = Row(
            f"{self.kind}_{self.share}",
            f"{title}, {self.share} %",
            self.data,
            config_file(self.kind, self.data),
            {f"train_dataloader.dataset.{nested}ann_file": str(json_file)},
            bound=None,
            boxes=boxes,
            # as many steps as with all images: one annotated object per image of `persons`
            stretch=100 / self.share if self.kind == "masks" else 1.0,
        )
        return Run(row, self.seed, self.settings).execute()


def tasks(
    kinds: list[str],
    data: str,
    shares: list[int],
    seeds: list[int],
    epochs: int,
    settings: Settings,
) -> list[Task]:
    """Return the tasks seed by seed: the first seed is a table already.

    Raises:
        ValueError: if the data set has no configs of detectors.
    """
    detectors = [kind for kind in kinds if kind in DETECTORS]
    missing = [kind for kind in detectors if not config_file(kind, data).is_file()]
    if missing:
        raise ValueError(
            f"Expected --rows {' or '.join(LABELS)} for {data}, which has no configs of detectors, "
            f"but got {' '.join(missing)}."
        )
    return [
        Task(kind, data, share, seed, epochs, settings)
        for seed in seeds
        for share in shares
        for kind in kinds
        if kind not in ABSENT.get(share, ())
    ]
