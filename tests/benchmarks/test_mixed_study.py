"""The study of some true masks: its parts, and a tiny one from end to end."""

from __future__ import annotations

import json
import re
import subprocess

import numpy as np
import pytest
from matplotlib.axes import Axes
from tiny import write_boxes

import mixed
import mixed_report
import mixed_runs
import mixed_shares
import study_settings


@pytest.fixture
def truth(tmp_path):
    return json.loads((write_boxes(tmp_path / "set", num_images=11) / "masks.json").read_text())


def test_smaller_shares_are_part_of_larger_ones(truth):
    chosen = [mixed_shares.choose(truth, share, seed=0) for share in (0, 10, 50, 100)]
    assert [len(each) for each in chosen] == [0, 2, 10, 20]
    assert chosen[0] < chosen[1] < chosen[2] < chosen[3]
    assert mixed_shares.choose(truth, 50, seed=1) != chosen[2]
    marked = mixed_shares.mark(truth, chosen[1])["annotations"]
    assert {a["id"] for a in marked if a.get("segmentation")} == chosen[1]
    assert len(marked) == 20
    alone = mixed_shares.only(mixed_shares.mark(truth, chosen[1]), chosen[1])
    assert {a["id"] for a in alone["annotations"]} == chosen[1]
    assert len(alone["images"]) <= 2


def test_labels_are_compared_where_the_training_saw_no_mask(truth):
    assert mixed_shares.ious(truth, truth).tolist() == [1] * 20
    assert len(mixed_shares.ious(truth, truth, leaving_out={1, 2})) == 18
    some = mixed_shares.mark(truth, {1, 2})
    assert mixed_shares.ious(some, truth).sum() == 2, "a box without a label counts 0"
    assert mixed_shares.summary(np.array([0.5, 0.9])) == dict(iou=70.0, good=50.0, objects=2)


def test_each_training_is_run_once(tmp_path):
    settings = study_settings.Settings(tmp_path)
    kinds = list(mixed_runs.KINDS)
    found = mixed_runs.tasks(kinds, "persons", [0, 10, 100], [0, 1], 8, settings)
    assert len({task.folder for task in found}) == len(found) == 2 * (3 + 6 + 3)
    assert found[0].seed == 0
    assert [task.kind for task in found if task.share == 0][:3] == ["mixed", "ours", "student"]
    with pytest.raises(ValueError, match="coco_mini, which has no configs of detectors"):
        mixed_runs.tasks(["ours"], "coco_mini", [0], [0], 8, settings)


def test_labels_do_not_depend_on_the_settings_of_detectors(tmp_path, truth):
    file = tmp_path / "set" / "masks.json"

    def check(epochs, detectors):
        settings = study_settings.Settings(tmp_path / "out", epochs, data=tmp_path)
        settings.check([file], detectors=detectors)

    check(None, detectors=False)
    check(4, detectors=True)
    check(None, detectors=False)
    for epochs in (None, 5):
        with pytest.raises(ValueError, match="Expected the settings of the runs"):
            check(epochs, detectors=True)
    file.write_text(json.dumps({**truth, "info": 1}))
    with pytest.raises(ValueError, match=r"set/masks\.json in .* differ"):
        check(None, detectors=False)


def test_a_labelling_that_outlives_a_killed_study_is_not_disturbed(tmp_path, truth, monkeypatch):
    (tmp_path / "set" / "masks.json").rename(tmp_path / "set" / "instances.json")
    (tmp_path / "set").rename(tmp_path / "coco_mini")
    settings = study_settings.Settings(tmp_path / "out", data=tmp_path)
    (task,) = mixed_runs.tasks(["mixed"], "coco_mini", [10], [0], 1, settings)
    tools = []

    def kill(*_, check, **options):
        tools.append(subprocess.Popen(["sleep", "60"], **options))
        raise InterruptedError

    monkeypatch.setattr(mixed_runs.subprocess, "run", kill)
    with pytest.raises(InterruptedError):
        task.execute()
    try:
        assert task.execute() == mixed_runs.BUSY
    finally:
        tools[0].kill()
        tools[0].wait()
    with pytest.raises(InterruptedError):
        task.execute()
    tools[1].kill()
    tools[1].wait()


def test_the_report_has_a_row_for_each_kind_and_share(tmp_path):
    for share, seed, iou in ((0, 0, 70), (20, 0, 74), (20, 1, 76)):
        each = dict(iou=iou, good=50, objects=9)
        folder = tmp_path / "persons" / f"mixed_{share}" / f"seed{seed}"
        folder.mkdir(parents=True)
        measures = dict(measures=dict(others=each, val=each))
        (folder / "result.json").write_text(json.dumps(measures))
    folder = tmp_path / "persons" / "ours_20" / "seed0"
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps(dict(measures=dict(ap=0.3, ap75=0.25))))
    text = mixed_report.write_report(tmp_path, "persons")
    labels, ours = (mixed_runs.KINDS[kind] for kind in ("mixed", "ours"))
    assert f"| {labels} | 0 % | 1 | 70.0 (50 %) | 70.0 (50 %) | - | - |" in text
    assert f"| {labels} | 20 % | 2 | 75.0 ± 1.4 (50 %) | 75.0 ± 1.4 (50 %) | - | - |" in text
    assert f"| {ours} | 20 % | 1 | - | - | 30.0 | 25.0 |" in text
    assert (tmp_path / "mixed_persons.md").read_text() == text
    assert (tmp_path / "mixed_persons.png").stat().st_size > 1000


def test_the_plot_has_the_deviations_of_the_table(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(Axes, "errorbar", lambda axes, *points, **_: drawn.append(points))
    runs = [dict(val=dict(iou=iou, good=50, objects=9)) for iou in (74, 76)]
    mixed_report.draw({("mixed", 0): runs[:1], ("mixed", 20): runs}, tmp_path / "plot.png")
    ((shares, means, spreads),) = drawn
    assert (shares.tolist(), means.tolist()) == ([0, 20], [74, 75])
    assert spreads.tolist() == [0, pytest.approx(2**0.5)]
    assert mixed_report._cell(runs, "val") == "75.0 ± 1.4 (50 %)"


@pytest.mark.slow
def test_a_study_from_end_to_end(tmp_path, monkeypatch, capsys, tiny_config):
    root = write_boxes(tmp_path / "data" / "tiny")
    tiny_config(root, tmp_path / "tiny_masks.py", box_supervised=False)
    tiny_config(root, tmp_path / "tiny_mixed.py", box_supervised=True, mixed=True)
    monkeypatch.setattr(mixed_runs, "CONFIGS", tmp_path)
    monkeypatch.setitem(mixed_runs.FILES, "tiny", ("masks.json", "masks.json"))
    stock, ours = ("stock", "masks", False), ("ours", "mixed", True)
    for kind, detector in dict(masks=stock, ours=ours, student=stock).items():
        monkeypatch.setitem(mixed_runs.DETECTORS, kind, detector)
    words = ["tiny", "--data", str(tmp_path / "data"), "--out", str(tmp_path / "out")]
    words += ["--shares", "50", "--seeds", "0", "--label-epochs", "1", "--epochs", "1"]
    rows = ["--rows", "student", "mixed", "alone", "masks", "ours"]

    assert mixed.main([*words, *rows]) == 0, capsys.readouterr().out
    assert "mixed, 50 %, seed 0: done before" in capsys.readouterr().out
    out = tmp_path / "out" / "tiny"
    results = {path.parts[-3]: json.loads(path.read_text()) for path in out.glob("*/*/result.json")}
    assert sorted(results) == ["alone_50", "masks_50", "mixed_50", "ours_50", "student_50"]
    for kind in ("alone_50", "mixed_50"):
        assert results[kind]["masks"] == 3
        assert results[kind]["measures"]["others"]["objects"] == 3
        assert results[kind]["measures"]["val"]["objects"] == 6
    assert results["masks_50"]["epochs"] == 2, "as many steps from half of the objects"
    assert results["ours_50"]["epochs"] == 1
    log = (out / "ours_50" / "seed0" / "train.log").read_text()
    assert re.search(r"true_masks: 0\.[257]", log), "of the running mean, some masks"
    labels = json.loads((out / "mixed_50" / "seed0" / "fit_labels.json").read_text())
    truth = json.loads((root / "masks.json").read_text())
    kept = [a["segmentation"] for a in labels["annotations"] if a["mask_source"] == "person"]
    assert len(kept) == 3
    assert all(mask in [a["segmentation"] for a in truth["annotations"]] for mask in kept)

    assert mixed.main([*words, *rows]) == 0
    assert capsys.readouterr().out.count("done before") == 5
    with pytest.raises(ValueError, match="Expected labellers of 2 epochs"):
        mixed.main([*words, "--label-epochs", "2"])
    with pytest.raises(ValueError, match="Expected the settings of the runs"):
        mixed.main([*words, *rows, "--epochs", "2"])
