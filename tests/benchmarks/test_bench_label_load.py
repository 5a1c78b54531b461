"""The benchmark of the labeller's speed and memory: its first row."""

from __future__ import annotations

import bench_label_load


def test_measures_a_row_in_a_process_of_its_own(capsys):
    bench_label_load.main(["--rows", "1"])
    assert "640 x 480" in capsys.readouterr().out
