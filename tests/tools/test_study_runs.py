"""The runs of a study: what is done again after an interruption or a failure, and what is not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from pycocotools.coco import COCO
from studies import study_modules
from tiny import tiny_solov2, write_boxes

from mmdet_discobox.utils.versions import distribution_of


@pytest.fixture
def modules(monkeypatch):
    yield from study_modules(monkeypatch)


class FakeMim:
    """Leaves the files that `mim` would, and remembers how it was called."""

    def __init__(self, truth):
        self.truth = truth
        self.calls = []
        self.words = {}
        self.environments = {}
        self.inherited = {}
        self.fails = None
        self.ap = 0.3

    def __call__(self, words, *, cwd, env, pass_fds, stdout, **options):
        if words[1].endswith("autolabel.py"):
            return self.label(words)
        self.calls.append((words[1], "--resume" in words))
        self.words[words[1]], self.environments[words[1]] = words, env
        self.inherited[words[1]] = [os.fstat(descriptor).st_ino for descriptor in pass_fds]
        if self.fails == words[1]:
            stdout.write("Traceback\nValueError: no luck\nsubprocess.CalledProcessError: mim\n")
            return 1
        if words[1] == "train":
            for epoch in (1, 2):
                (cwd / f"epoch_{epoch}.pth").write_text("")
            (cwd / "last_checkpoint").write_text(str(cwd / "epoch_2.pth"))
            return 0
        (cwd / "test" / "now").mkdir(parents=True, exist_ok=True)
        metrics = {"coco/segm_mAP": self.ap, "coco/segm_mAP_50": 0.6, "coco/segm_mAP_75": 0.2}
        (cwd / "test" / "now" / "now.json").write_text(
            json.dumps({**metrics, "coco/bbox_mAP": 0.1})
        )
        found = [dict(each, score=0.5) for each in self.truth["annotations"][:3]]
        (cwd / "predictions.segm.json").write_text(json.dumps(found))
        return 0

    def label(self, words):
        self.calls.append(("label", False))
        self.words["label"] = words
        if self.fails == "label":
            return 1
        Path(words[-1]).write_text("{}")
        return 0


@pytest.fixture
def make_run(modules, tmp_path, monkeypatch):
    """A run of a tiny config whose `mim` is not real."""
    root = write_boxes(tmp_path / "set")
    coco = COCO(str(root / "masks.json"))
    truth = coco.dataset
    for each in truth["annotations"]:
        code = coco.annToRLE(each)
        each["segmentation"] = dict(code, counts=code["counts"].decode())
    data = dict(data_root=str(root), ann_file="boxes.json", data_prefix=dict(img="images/"))
    config = dict(
        train_cfg=dict(max_epochs=2),
        train_dataloader=dict(dataset=data),
        test_evaluator=dict(ann_file=str(root / "masks.json")),
    )
    Config(config).dump(tmp_path / "config.py")
    mim = FakeMim(truth)
    monkeypatch.setattr(modules["study_runs"], "_wait_for", mim)
    row = modules["study_rows"].Row("tiny", "Tiny", "set", tmp_path / "config.py")

    def run(row=row, **options):
        settings = modules["study_settings"].Settings(tmp_path / "out", data=tmp_path, **options)
        return modules["study_runs"].Run(row, 3, settings)

    return mim, run


def test_a_run_is_trained_and_tested_once(make_run):
    mim, run = make_run
    assert run().state == "not begun"
    assert run().execute() is None
    assert run().state == "done"
    assert mim.calls == [("train", True), ("test", False)]
    folder = run().folder
    assert folder.parts[-3:] == ("set", "tiny", "seed3")
    result = json.loads((folder / "result.json").read_text())
    assert {key: result[key] for key in ("row", "seed", "epochs")} == dict(
        row="tiny", seed=3, epochs=2
    )
    assert result["measures"] == dict(
        ap=0.3, ap50=0.6, ap75=0.2, box_ap=0.1, matched_iou=1.0, matched_share=0.5
    )
    assert result["commands"]["train"].startswith(f"mim train {distribution_of('mmdet')} ")
    assert "randomness.seed=3" in result["commands"]["train"]
    assert {"cpu", "cores", "torch", "gpu"} <= set(result["machine"])
    assert len(result["revisions"]) == 1
    assert result["data"] == str(folder.parents[3])
    assert set(result["seconds"]) == {"train", "test"}
    # only the last checkpoint is kept, and no half-written files
    assert [path.name for path in folder.glob("*.p*")] == ["epoch_2.pth"]


def test_the_networks_of_a_row_are_tested_again_with_other_options(modules, make_run):
    mim, run = make_run
    row = run().row
    again = modules["study_rows"].Row(
        "again", "Again", row.data, row.config, {"model.extra": 1}, trained_as=row
    )
    assert run(again).state == "not begun"
    mim.fails = "train"
    assert "no luck" in run(again).execute()
    mim.fails = None
    mim.calls.clear()
    assert run(again).execute() is None
    assert mim.calls == [("train", True), ("test", False), ("test", False)]
    assert run(again).state == run().state == "done"
    words = mim.words["test"]
    assert words[words.index("--checkpoint") + 1] == str(run().folder / "epoch_2.pth")
    assert "model.extra=1" in words
    assert "model.extra=1" not in mim.words["train"]
    result = json.loads((run(again).folder / "result.json").read_text())
    assert set(result["commands"]) == set(result["seconds"]) == {"test"}
    assert (run().folder / "epoch_2.pth").exists()

    (run(again).folder / "result.json").unlink()
    assert run(again).state == "trained"
    mim.calls.clear()
    assert run(again).execute() is None
    assert mim.calls == []


def test_a_row_that_is_trained_on_the_labels_of_another(modules, make_run):
    mim, run = make_run
    row = run().row
    second = modules["study_rows"].Row("second", "2", row.data, row.config, labelled_by=row)
    mim.fails = "train"
    assert "no luck" in run(second).execute()  # of the labeller, without which nothing is begun
    assert mim.calls == [("train", True)]
    mim.fails = "label"
    assert run(second).execute() == "no output"
    assert mim.calls[1:] == [("train", True), ("test", False), ("label", False)]
    assert run().state == "done"
    assert run(second).state == "not begun"
    mim.fails = "train"
    assert "no luck" in run(second).execute()
    mim.fails = None
    mim.calls.clear()
    assert run(second).execute() is None  # what is labelled is not labelled again
    assert mim.calls == [("train", True), ("test", False)]
    result = json.loads((run(second).folder / "result.json").read_text())
    assert [*result["seconds"]] == ["label", "train", "test"]
    assert result["starts"] == dict(label=2, train=2, test=1)

    root, folder = run().settings.data / "set", run().folder
    labels = str(run(second).folder / "labels.json")
    assert mim.words["label"][2:] == [
        str(folder / "config.py"),  # as `mim train` has written it
        str(folder / "epoch_2.pth"),
        str(root / "boxes.json"),
        str(root / "images"),
        labels,
    ]
    assert f"train_dataloader.dataset.ann_file={labels}" in mim.words["train"]
    assert run(second).annotations == run().annotations


def test_what_mim_is_told(make_run, monkeypatch):
    mim, run = make_run
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    assert run(batch=4, options=dict(b=2, a=1)).execute() is None
    for step, words in mim.words.items():
        assert Path(words[0]) == Path(sys.executable).with_name("mim")
        assert words[words.index("--gpus") + 1] == "0"
        assert {"randomness.seed=3", "train_dataloader.batch_size=4"} <= set(words)
        assert words.index("a=1") < words.index("b=2")
        # one checkpoint is whole while another is written
        assert "default_hooks.checkpoint.max_keep_ckpts=2" in words
        assert not any("BFloat16" in word for word in words)
        assert mim.environments[step]["CUDA_VISIBLE_DEVICES"] == ""
        path = mim.environments[step]["PATH"].split(os.pathsep)
        assert path[0] == str(Path(sys.executable).parent)
        # what is left of a study that was killed keeps others from its run
        assert mim.inherited[step] == [(run().folder / "lock").stat().st_ino]
    assert "--auto-scale-lr" in mim.words["train"]


def test_what_mim_is_told_for_a_gpu_in_bfloat16(make_run, monkeypatch):
    mim, run = make_run
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    assert run(gpus=1, bf16=True).execute() is None
    for step, words in mim.words.items():
        assert words[words.index("--gpus") + 1] == "1"
        assert "optim_wrapper.type=BFloat16OptimWrapper" in words
        assert mim.environments[step]["CUDA_VISIBLE_DEVICES"] == "7"
    assert "--auto-scale-lr" not in mim.words["train"]


def test_what_is_there_is_not_done_again(make_run):
    mim, run = make_run
    run().execute()
    (run().folder / "result.json").unlink()
    mim.calls.clear()
    assert run().state == "trained"
    assert run().execute() is None
    assert mim.calls == []

    (run().folder / "result.json").unlink()
    next(run().folder.glob("test/*/*.json")).unlink()
    (run().folder / "test" / "now").rmdir()
    assert run().execute() is None
    assert mim.calls == [("test", False)]


def test_a_checkpoint_that_was_not_written_whole_is_not_the_last(make_run):
    mim, run = make_run
    run().folder.mkdir(parents=True)
    (run().folder / "epoch_2.pth").write_text("half")
    assert run().state == "not begun"
    (run().folder / "last_checkpoint").write_text(str(run().folder / "epoch_1.pth"))
    assert run().state == "begun"
    run().execute()
    assert mim.calls[0] == ("train", True)


def save_checkpoint(run, epoch):
    torch.save(dict(epoch=epoch), run.folder / f"epoch_{epoch}.pth")


@pytest.mark.parametrize("name", ["", "/moved/epoch_1.pth"])
def test_a_last_checkpoint_that_names_no_file(make_run, monkeypatch, name):
    """mmengine would resume from just that name, and fail each time."""
    _, run = make_run
    run = run(epochs=12)
    last = run.folder / "last_checkpoint"
    begun = []
    monkeypatch.setattr(
        run, "_call", lambda *_: begun.append(last.read_text() if last.exists() else None) or "no"
    )
    run.folder.mkdir(parents=True)
    last.write_text(name)
    assert run.execute() == "no"
    for epoch in (9, 10, 11):
        save_checkpoint(run, epoch)
    cut = run.folder / "epoch_11.pth"
    cut.write_bytes(cut.read_bytes()[:-30])
    last.write_text(name)
    assert run.execute() == "no"
    assert run.execute() == "no"
    whole = str(run.folder / "epoch_10.pth")
    assert begun == [None, whole, whole]


def test_a_training_is_over_if_its_checkpoint_is_whole_and_only_the_name_was_cut(make_run):
    mim, run = make_run
    run().folder.mkdir(parents=True)
    save_checkpoint(run(), 2)
    (run().folder / "last_checkpoint").write_text("")
    assert run().execute() is None
    assert mim.calls == [("test", False)]


@pytest.mark.parametrize("name", ["test/now/now.json", "predictions.segm.json"])
@pytest.mark.parametrize("text", ["", '{"coco/segm_mAP": 0.', None])
def test_what_a_test_has_not_written_whole_is_as_if_absent(make_run, name, text):
    mim, run = make_run
    run().execute()
    folder = run().folder
    (folder / "result.json").unlink()
    mim.calls.clear()
    if text is None:
        (folder / name).unlink()
    else:
        (folder / name).write_text(text)
    assert run().execute() is None
    assert mim.calls == [("test", False)]
    assert run().state == "done"


@pytest.mark.parametrize("name", ["run.json", "result.json"])
def test_a_record_that_was_lost_with_the_power(modules, make_run, name):
    _, run = make_run
    run().execute()
    folder = run().folder
    (folder / name).write_text("")
    row = run().row
    table = modules["study_rows"].Table("tiny", (row,))
    assert "Tiny" in modules["study_report"].write_report(table, run().settings.out)
    assert (run().state == "done") == (name == "run.json")
    assert run().execute() is None
    assert run().state == "done"
    assert json.loads((folder / "run.json").read_text())["seed"] == 3


def test_a_new_training_is_tested_anew(make_run):
    mim, run = make_run
    run().execute()
    folder = run().folder
    (folder / "result.json").unlink()
    run().checkpoint.unlink()
    mim.calls.clear()
    mim.ap = 0.4
    assert run().execute() is None
    assert mim.calls == [("train", True), ("test", False)]
    assert json.loads((folder / "result.json").read_text())["measures"]["ap"] == 0.4


def test_no_exception_of_a_run_ends_the_study(modules, make_run, monkeypatch):
    mim, run = make_run

    def broken(*_, **__):
        raise RuntimeError("no\nluck")

    with monkeypatch.context() as patch:
        patch.setattr(modules["study_runs"], "measures", broken)
        assert run().execute() == "RuntimeError: no luck"
    record = json.loads((run().folder / "run.json").read_text())
    assert record["failure"] == "RuntimeError: no luck"
    with monkeypatch.context() as patch:
        patch.setattr(modules["study_runs"], "revision", broken)
        assert run().execute() == "RuntimeError: no luck"
    assert run().execute() is None

    def ended(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(modules["study_runs"], "revision", ended)
    with pytest.raises(KeyboardInterrupt):
        run().execute()


@pytest.mark.parametrize("step", ["train", "test"])
def test_a_failure_is_told_and_tried_again(make_run, step):
    mim, run = make_run
    mim.fails = step
    assert run().execute() == "ValueError: no luck"
    record = json.loads((run().folder / "run.json").read_text())
    assert record["failure"] == "ValueError: no luck"
    assert not (run().folder / "result.json").exists()
    mim.fails = None
    assert run().execute() is None
    result = json.loads((run().folder / "result.json").read_text())
    assert result["failure"] is None
    assert result["starts"][step] == 2


def test_two_processes_do_not_meet_in_a_run(modules, make_run):
    mim, run = make_run
    run().folder.mkdir(parents=True)
    with modules["study_files"].locked(run().folder / "lock") as lock:
        assert lock is not None
        assert run().execute() == modules["study_runs"].BUSY
    assert mim.calls == []
    assert run().execute() is None


def test_no_predictions_are_an_average_precision_of_nothing(modules, make_run):
    _, run = make_run
    run().execute()
    folder = run().folder
    next(folder.glob("test/*/*.json")).write_text("{}")
    (folder / "predictions.segm.json").write_text("[]")
    truth = Path(run().config.test_evaluator.ann_file)
    measures = modules["study_measures"].measures
    nothing = dict(ap=0.0, ap50=0.0, ap75=0.0, matched_iou=None, matched_share=0.0)
    assert measures(folder, truth, boxes=True) == {**nothing, "box_ap": 0.0}
    assert measures(folder, truth, boxes=False) == {**nothing, "box_ap": None}
    with pytest.raises(FileNotFoundError, match="test the run first"):
        measures(folder / "nowhere", truth, boxes=True)


def test_the_children_end_with_the_study(modules, tmp_path):
    """As `mim` does, the child has a child of its own."""
    pid = tmp_path / "pid"
    child = ["sh", "-c", f"sleep 60 & echo $! > '{pid}'; wait"]

    def end(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    try:
        with pytest.raises(KeyboardInterrupt):
            modules["study_runs"]._wait_for(child)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    stat = Path("/proc") / pid.read_text().strip() / "stat"
    for _ in range(50):
        if not stat.exists() or stat.read_text().split()[2] == "Z":
            return
        time.sleep(0.1)
    pytest.fail("the child of the child goes on")


def tiny_config(root, path, *, box_supervised):
    data = dict(
        type="CocoBoxDataset" if box_supervised else "CocoDataset",
        data_root=str(root),
        ann_file="boxes.json" if box_supervised else "masks.json",
        data_prefix=dict(img="images/"),
        metainfo=dict(classes=("one", "two", "three")),
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="LoadAnnotations", with_bbox=True, with_mask=not box_supervised),
            dict(type="PackDetInputs"),
        ],
    )
    keys = ("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")
    pipeline = [
        dict(type="LoadImageFromFile"),
        dict(type="Resize", scale=(96, 96), keep_ratio=True),
        dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
        dict(type="PackDetInputs", meta_keys=keys),
    ]
    test_data = {**data, "type": "CocoDataset", "ann_file": "masks.json", "test_mode": True}
    loader = dict(batch_size=2, num_workers=0, sampler=dict(type="DefaultSampler", shuffle=False))
    hooks = [dict(type="TeacherEMAHook"), dict(type="StructuredTeacherHook")]
    truth = str(root / "masks.json")
    Config(
        dict(
            custom_imports=dict(imports=["mmdet_discobox"], allow_failed_imports=False),
            default_scope="mmdet",
            default_hooks=dict(checkpoint=dict(type="CheckpointHook", interval=1)),
            model=tiny_solov2(box_supervised=box_supervised),
            train_dataloader=dict(dataset=data, **loader),
            test_dataloader=dict(dataset={**test_data, "pipeline": pipeline}, **loader),
            test_evaluator=dict(type="CocoMetric", ann_file=truth, metric=["bbox", "segm"]),
            test_cfg=dict(type="TestLoop"),
            train_cfg=dict(type="EpochBasedTrainLoop", max_epochs=2),
            optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.01)),
            custom_hooks=hooks if box_supervised else [],
            visualizer=dict(type="DetLocalVisualizer"),
        )
    ).dump(path)
    return path


@pytest.mark.slow
def test_a_study_from_end_to_end(modules, tmp_path, monkeypatch, capsys):
    root, out = write_boxes(tmp_path / "set 图"), tmp_path / "out"
    row, name = modules["study_rows"].Row, "tiny"
    configs = [tiny_config(root, tmp_path / f"{i}.py", box_supervised=bool(i)) for i in range(2)]
    rows = (
        row("masks", "From masks", name, configs[0], bound=None, boxes=False),
        row("full", "From boxes", name, configs[1]),
        row("wrong", "Wrong", name, configs[1], {"model.mask_head.loss_mask.type": "NoLoss"}),
    )
    again = replace(rows[0], name="again", title="From the labels", labelled_by=rows[1])
    rows = (*rows, again)
    table = modules["study_rows"].Table("persons", rows)
    monkeypatch.setitem(modules["study_tables"].TABLES, "persons", lambda: table)
    words = ["persons", "--data", str(root), "--out", str(out), "--seeds", "0"]
    settings = modules["study_settings"].Settings(out)

    # as if the study had been killed after the first epoch
    run = modules["study_runs"].Run(rows[1], 0, settings)
    run.folder.mkdir(parents=True)
    run.epochs = 1
    command = run.commands()["train"]
    command[0] = str(Path(sys.executable).with_name("mim"))
    subprocess.run(command, cwd=run.folder, check=True, capture_output=True, timeout=300)
    assert modules["study_runs"].Run(rows[1], 0, settings).state == "begun"

    assert modules["study"].main(words) == 1
    assert "resumed epoch: 1" in (run.folder / "train.log").read_text()
    text = capsys.readouterr().out
    assert "| Wrong | failed |" in text
    assert "NoLoss is not in the mmdet::model registry" in text
    results = [json.loads(path.read_text()) for path in sorted(out.glob("tiny/*/*/result.json"))]
    assert [result["row"] for result in results] == ["again", "full", "masks"]
    assert [result["measures"]["box_ap"] is None for result in results] == [True, False, True]
    labels = json.loads((out / "tiny" / "again" / "seed0" / "labels.json").read_text())
    assert all("mask_quality" in each for each in labels["annotations"])
    assert all(0 <= result["measures"]["matched_share"] <= 1 for result in results)

    assert modules["study"].main([*words, "--rows", "masks", "full"]) == 0
    assert capsys.readouterr().out.count("done before") == 2
