"""The study: every table, and a tiny one from end to end."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tiny import write_boxes

import study
import study_runs
import study_settings
import study_tables


@pytest.mark.parametrize("table", study_tables.TABLES)
def test_every_row_of_a_table_is_a_config_that_ships(table, tmp_path, capsys):
    words = [table, "--data", str(tmp_path), "--out", str(tmp_path / "out"), "--seeds", "0"]
    assert study.main([*words, "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("seed 0, ") == len(study_tables.TABLES[table]().rows)
    assert study.main([*words, "--report"]) == 0
    assert capsys.readouterr().out == (tmp_path / "out" / f"{table}.md").read_text() + "\n"


@pytest.mark.slow
def test_a_study_from_end_to_end(tmp_path, monkeypatch, capsys, tiny_config):
    root, out = write_boxes(tmp_path / "set 图"), tmp_path / "out"
    row, name = study_tables.Row, "tiny"
    configs = [tiny_config(root, tmp_path / f"{i}.py", box_supervised=bool(i)) for i in range(2)]
    rows = (
        row("masks", "From masks", name, configs[0], bound=None, boxes=False),
        row("full", "From boxes", name, configs[1]),
        row("wrong", "Wrong", name, configs[1], {"model.mask_head.loss_mask.type": "NoLoss"}),
    )
    again = replace(rows[0], name="again", title="From the labels", labelled_by=rows[1])
    rows = (*rows, again)
    table = study_tables.Table("persons", rows)
    monkeypatch.setitem(study_tables.TABLES, "persons", lambda: table)
    words = ["persons", "--data", str(root), "--out", str(out), "--seeds", "0"]
    settings = study_settings.Settings(out)

    # as if the study had been killed after the first epoch
    run = study_runs.Run(rows[1], 0, settings)
    run.folder.mkdir(parents=True)
    run.epochs = 1
    command = run.commands()["train"]
    command[0] = str(Path(sys.executable).with_name("mim"))
    subprocess.run(command, cwd=run.folder, check=True, capture_output=True, timeout=300)
    assert study_runs.Run(rows[1], 0, settings).state == "begun"

    assert study.main(words) == 1
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

    assert study.main([*words, "--rows", "masks", "full"]) == 0
    assert capsys.readouterr().out.count("done before") == 2
