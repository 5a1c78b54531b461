"""What the demo shows of a command, and what it keeps."""

from __future__ import annotations

import sys

import pytest

from phases import run_phase, step_of


@pytest.mark.parametrize(
    ("line", "step"),
    [
        ("11/29 INFO - Epoch(train)  [3][ 25/150]  lr: 1.0e-04  eta: 0:01:00", (325, 1200)),
        ("11/29 INFO - Epoch(test) [ 50/100]    eta: 0:00:02", (50, 100)),
        ("11/29 INFO - Epoch(val)   [8][100/100]    coco/bbox_mAP: 0.5", (800, 800)),
        ("Loads checkpoint by local backend", None),
    ],
)
def test_steps_are_those_of_mmengines_log(line, step):
    assert step_of(line, 8) == step


def run(tmp_path, code):
    command = [sys.executable, "-c", code]
    return run_phase("working", command, folder=tmp_path, log=tmp_path / "log.txt")


def test_the_log_has_everything_and_the_screen_the_warnings_of_ours(tmp_path, capfd):
    code = """
print("noise")
print("/x/site-packages/mmengine/a.py:1: UserWarning: theirs")
print("/x/mmdet_discobox/a.py:1: UserWarning: ours")
print("11/29 - mmengine - WARNING - teacher_agreement were below 0.01")
"""
    output = run(tmp_path, code)
    assert output.splitlines()[0] == "noise"
    assert output in (tmp_path / "log.txt").read_text()
    screen = "".join(capfd.readouterr())
    assert "working" in screen
    assert "UserWarning: ours" in screen
    assert "teacher_agreement were" in screen
    assert "noise" not in screen
    assert "theirs" not in screen


def test_a_failure_shows_the_end_of_the_output_and_names_the_log(tmp_path, capfd):
    with pytest.raises(SystemExit, match="failed; its whole output is in .*log.txt"):
        run(tmp_path, "raise ValueError('the reason')")
    assert "ValueError: the reason" in capfd.readouterr().err
