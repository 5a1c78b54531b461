"""Runs of the study: `mim train` and `mim test` of a row with a seed, and their measures.

Files in the folder of a run mark its progress: `run.json` its start, `labels.json` the masks of its
training boxes (for rows that train on auto-labels), `epoch_N.pth` of the last epoch the end of
training, `test/*/*.json` the test, `result.json` the end. Finished steps are not repeated, and a
killed training resumes from its last checkpoint.
"""

from __future__ import annotations

import copy
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

from mmengine.config import Config

from mmdet_discobox.utils.files import write_json, write_text
from mmdet_discobox.utils.types import Json
from mmdet_discobox.utils.versions import distribution_of
from study_files import ROOT, error_in, locked, machine, read_complete_json, revision
from study_measures import PREDICTIONS, measures, tested
from study_settings import Settings, annotations, as_words, boxes_and_images, read_config
from study_tables import Row

BUSY = "another process runs it"


class Run:
    """One training of a row with one seed, and its test.

    Args:
        row: row of the table.
        seed: seed of the training.
        settings: settings of the study.
    """

    def __init__(self, row: Row, seed: int, settings: Settings) -> None:
        self.row, self.seed, self.settings = row, seed, settings
        self.folder = settings.out / row.data / row.name / f"seed{seed}"
        self.config = read_config(row.config)
        epochs = settings.epochs or self.config.train_cfg.max_epochs
        self.epochs = max(1, round(epochs * row.stretch))
        self.training = self if row.trained_as is None else Run(row.trained_as, seed, settings)
        self.checkpoint = self.training.folder / f"epoch_{self.epochs}.pth"
        self.labeller = None if row.labelled_by is None else Run(row.labelled_by, seed, settings)
        self.labels = self.folder / "labels.json"

    @property
    def options(self) -> Json:
        """Overridden keys of the config."""
        options = {
            "train_cfg.max_epochs": self.epochs,
            "train_cfg.val_begin": self.epochs + 1,  # `mim test` evaluates
            "default_hooks.checkpoint.interval": 1,
            # the oldest is removed before the newest is complete: of two, one always is
            "default_hooks.checkpoint.max_keep_ckpts": 2,
            "randomness.seed": self.seed,
        }
        if self.settings.batch:
            options["train_dataloader.batch_size"] = self.settings.batch
        if self.settings.bf16:
            options["optim_wrapper.type"] = "BFloat16OptimWrapper"
        if self.labeller:
            options["train_dataloader.dataset.ann_file"] = str(self.labels)
        shared = dict(sorted(self.settings.options.items()))  # independent of their order
        return {**options, **self.row.options, **shared}

    @property
    def merged(self) -> Config:
        """The config with the options."""
        config = copy.deepcopy(self.config)
        config.merge_from_dict(self.options)
        return config

    @property
    def annotations(self) -> set[Path]:
        """Json files that the run reads, without those that the study writes."""
        if self.training is not self:
            return self.training.annotations
        if self.labeller:
            return self.labeller.annotations
        try:
            return annotations(self.merged)
        except (KeyError, TypeError):  # the options do not fit: the run reports the error
            return annotations(self.config)

    @property
    def trained(self) -> bool:
        """Whether the training has ended: `last_checkpoint` is written after the checkpoint."""
        if self.training is not self:
            return self.training.trained
        last = self._last
        return last is not None and last.name == self.checkpoint.name and self.checkpoint.exists()

    @property
    def _last(self) -> Path | None:
        """The path in `last_checkpoint`, None without that file."""
        path = self.folder / "last_checkpoint"
        return Path(path.read_text(errors="replace").strip()) if path.exists() else None

    @property
    def state(self) -> str:
        """Progress of the run."""
        if read_complete_json(self.folder / "result.json"):
            return "done"
        if self.trained:
            return "trained"
        return "begun" if (self.folder / "last_checkpoint").exists() else "not begun"

    def commands(self) -> dict[str, list[str]]:
        """Return the command of each step, to be run in the folder of the run."""
        config, gpus = str(self.row.config), str(self.settings.gpus)
        mmdet = distribution_of("mmdet")
        train = ["mim", "train", mmdet, config, "--gpus", gpus, "--work-dir", str(self.folder)]
        train += ["--resume"] + ["--auto-scale-lr"] * bool(self.settings.batch)
        test = ["mim", "test", mmdet, config, "--checkpoint", str(self.checkpoint)]
        test += ["--gpus", gpus, "--work-dir", str(self.folder / "test")]
        written = {"test_evaluator.outfile_prefix": PREDICTIONS}
        commands = dict(
            train=[*train, "--cfg-options", *as_words(self.options)],
            test=[*test, "--cfg-options", *as_words({**self.options, **written})],
        )
        if self.labeller:
            commands["label"] = self._label_command(self.labeller)
        return {step: commands[step] for step in self._steps}

    def _label_command(self, labeller: Run) -> list[str]:
        network = [labeller.folder / labeller.row.config.name, labeller.checkpoint]  # as trained
        data = boxes_and_images(labeller.merged)
        tool = ROOT / "tools" / "autolabel.py"
        return [*map(str, ["python", tool, *network, *data, self.labels])]

    @property
    def _steps(self) -> tuple[str, ...]:
        if self.training is not self:
            return ("test",)
        return ("label", "train", "test") if self.labeller else ("train", "test")

    def execute(self) -> str | None:
        """Run the remaining steps; return the reason of a failure, None on success."""
        return _failure_of(self._execute)

    def _execute(self) -> str | None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with locked(self.folder / "lock") as lock:
            if lock is None:
                return BUSY
            record = read_complete_json(self.folder / "run.json") or self._record()
            record.update(failure=None, data=self.settings.data and str(self.settings.data))
            if (now := revision()) not in record["revisions"]:
                record["revisions"].append(now)
            record["failure"] = _failure_of(lambda: self._train_and_test(record, lock))
            write_json(self.folder / "run.json", record, indent=1)
        return record["failure"]

    def _record(self) -> Json:
        return dict(
            row=self.row.name,
            seed=self.seed,
            epochs=self.epochs,
            commands={step: shlex.join(words) for step, words in self.commands().items()},
            revisions=[],  # several: resumed by other code
            machine=machine(self.settings.gpus),
            starts=dict.fromkeys(self._steps, 0),  # several: killed, and the seconds incomplete
            seconds=dict.fromkeys(self._steps, 0.0),
        )

    def _train_and_test(self, record: Json, lock: int) -> str | None:
        failure = self._train(record, lock)
        if not failure and tested(self.folder) is None:
            failure = self._timed("test", record, lock)
        if failure:
            return failure
        truth = Path(self.merged.test_evaluator.ann_file)
        measured = measures(self.folder, truth, boxes=self.row.boxes)
        write_json(self.folder / "result.json", {**record, "measures": measured}, indent=1)
        for old in set(self.folder.glob("epoch_*.pth")) - {self.checkpoint}:
            old.unlink()
        return None

    def _train(self, record: Json, lock: int) -> str | None:
        """Finish the training; a run that tests networks of another row executes that row's run."""
        if self.training is not self:
            return None if self.training.state == "done" else self.training.execute()
        self._fix_last_checkpoint()
        if self.trained:
            return None
        if failure := self._label(record, lock):
            return failure
        shutil.rmtree(self.folder / "test", ignore_errors=True)  # of a removed checkpoint
        return self._timed("train", record, lock)

    def _label(self, record: Json, lock: int) -> str | None:
        """Predict masks of the training boxes, for rows that train on them."""
        if self.labeller is None or self.labels.exists():
            return None
        failure = None if self.labeller.state == "done" else self.labeller.execute()
        return failure or self._timed("label", record, lock)

    def _fix_last_checkpoint(self) -> None:
        """Make `last_checkpoint` name an existing file, or remove it, as `--resume` requires."""
        if self.trained or self._last is None or self._last.is_file():
            return
        # a zip file ends in its index, so an incomplete file is no zip file
        complete = [path for path in self.folder.glob("epoch_*.pth") if zipfile.is_zipfile(path)]
        if complete:
            newest = max(complete, key=lambda path: int(path.stem.removeprefix("epoch_")))
            write_text(self.folder / "last_checkpoint", str(newest))
        else:
            (self.folder / "last_checkpoint").unlink()

    def _timed(self, step: str, record: Json, lock: int) -> str | None:
        record["starts"][step] += 1
        write_json(self.folder / "run.json", record, indent=1)
        start = time.time()
        failure = self._call(step, lock)
        record["seconds"][step] += time.time() - start
        return failure

    def _call(self, step: str, lock: int) -> str | None:
        """Run a command with its output in a file; return the error of a failure."""
        words, folder = self.commands()[step], Path(sys.executable).parent
        words[0] = str(folder / words[0])
        environment = {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
        if not self.settings.gpus:
            environment["CUDA_VISIBLE_DEVICES"] = ""  # mmdet uses a visible GPU
        path = self.folder / f"{step}.log"
        with path.open("w") as log:
            options = dict(cwd=self.folder, env=environment, stdout=log, stderr=log)
            status = _wait_for(words, pass_fds=[lock], **options)
        return error_in(path.read_text(errors="replace")) if status else None


def _failure_of(work: Callable[[], str | None]) -> str | None:
    """Call a function and return its failure, also that of an exception: other runs continue."""
    try:
        return work()
    except Exception as error:  # noqa: BLE001
        return " ".join(f"{type(error).__name__}: {error}".split())[:300]


def _wait_for(words: list[str], **options: object) -> int:
    """Run a command, and kill it with its children when this process is terminated."""
    with subprocess.Popen(words, start_new_session=True, **options) as child:  # type: ignore[call-overload]
        try:
            return child.wait()
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
