"""The benchmark of auto-labelling, on a single disc."""

from __future__ import annotations

import json

import bench_autolabel


def test_scores_every_method_and_writes_everything(dataset, tmp_path):
    out = tmp_path / "bench.json"
    bench_autolabel.main([str(dataset), str(dataset.parent), "--out", str(out)])
    rows = json.loads(out.read_text())
    assert len(rows) == 2
    methods = {"filled box", "auto-labeller", "GrabCut"}
    assert all(0 <= row[name] <= 1 for row in rows for name in methods)
    assert rows[0]["auto-labeller"] > rows[0]["filled box"]
