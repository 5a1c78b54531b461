"""The benchmark of the structured teacher, on a single disc."""

from __future__ import annotations

import json

import bench_teacher


def test_scores_every_kind_and_writes_everything(dataset, tmp_path, capsys):
    out = tmp_path / "bench.json"
    bench_teacher.main([str(dataset), str(dataset.parent), "--out", str(out)])
    report = json.loads(out.read_text())
    rows = {row["kind"]: row for row in report["summary"] if row["size"] == "all"}
    assert set(rows) == set(bench_teacher.STARTS)
    assert all(row["objects"] == 1 for row in rows.values()), "crowd and tiny objects are skipped"
    for kind in ("eroded", "dilated", "coarse", "soft"):
        assert rows[kind]["default"] > max(rows[kind]["start"], 90)
        assert rows[kind]["paper"] > 50
    assert rows["dilated"]["grabcut"] > 90
    assert {row["size"] for row in report["summary"]} == {"all", "medium"}
    assert report["run"]["seed"] == 0
    assert report["run"]["settings"]["paper"]["refiner"]["algorithm"] == "alg1"
    assert set(report["step_seconds"]) >= {"default", "default with the cross-image term"}
    assert min(report["step_seconds"].values()) > 0
    assert "14 objects in 2 images of 448x640" in capsys.readouterr().out
