"""The benchmark of cut boxes, on a diagonal bar: any cut empties bags of its box."""

from __future__ import annotations

import json

import bench_cut_boxes


def test_counts_false_bags_of_a_cut_bar(dataset, capsys):
    content = json.loads(dataset.read_text())
    bar = [50, 40, 65, 40, 131, 106, 131, 121, 116, 121, 50, 55]
    content["annotations"] = [dict(content["annotations"][0], segmentation=[bar])]
    dataset.write_text(json.dumps(content))
    arguments = [str(dataset), str(dataset.parent), "--epochs", "40", "--tolerance", "0"]
    bench_cut_boxes.main(arguments)
    lines = capsys.readouterr().out.replace("│", " ").splitlines()
    rows = {line.split()[0]: line.split()[1:] for line in lines if line.split()}
    every, kept = ((int(rows[name][0]), float(rows[name][1])) for name in ("all", "kept"))
    assert 0 < kept[0] < every[0]
    assert kept[1] < 0.2 < 0.5 < every[1]
    assert any("of 40 objects are cut" in line for line in lines)
