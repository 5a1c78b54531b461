"""The benchmark of competition, on a disc and its upper half."""

from __future__ import annotations

import json

import bench_competition


def test_groups_objects_by_the_share_of_their_box(dataset, capsys):
    content = json.loads(dataset.read_text())
    disc = content["annotations"][0]
    half = dict(disc, id=9, bbox=[50, 40, 81, 40])
    content["annotations"] = [disc, half]
    dataset.write_text(json.dumps(content))
    bench_competition.main([str(dataset), str(dataset.parent), "--weights", "0", "0.25"])
    lines = capsys.readouterr().out.replace("│", " ").splitlines()
    rows = [line.split()[1:-2] for line in lines if line.split()[:1] == ["coarse"]]
    assert rows == [["10", "to", "50", "%", "1"], ["50", "%", "and", "more", "1"]]
