"""The benchmark of the training step, at a tiny size."""

from __future__ import annotations

import json

import pytest
from mmengine.config import Config
from tiny import tiny_solov2, tiny_yolact

import bench_step

TINY = ["--size", "64", "64", "--images", "1", "--repeats", "1"]


@pytest.mark.parametrize("model", [tiny_solov2, tiny_yolact], ids=["solov2", "yolact"])
def test_measures_every_section_and_writes_everything(model, tmp_path, capsys):
    path, out = tmp_path / "tiny.py", tmp_path / "bench.json"
    optim_wrapper = dict(optimizer=dict(type="AdamW", lr=1.0))
    Config(dict(model=model(), optim_wrapper=optim_wrapper), format_python_code=False).dump(path)
    sections = ["step", "parts", "predict", "objects", "sizes", "classes"]
    scales = ["--scale-objects", "3", "--scale-sizes", "96", "--scale-classes", "5"]
    bench_step.main(
        ["--config", str(path), "--only", *sections, *scales, *TINY, "--json", str(out)]
    )
    found = json.loads(out.read_text())["tiny"]
    assert found.keys() == {*sections, "matching_cost"}
    assert all(row["seconds"] > 0 for row in found["step"])
    shares = {}
    for row in found["parts"]:
        shares.setdefault(row["variant"], {})[row["part"]] = row["share"]
    for variant, parts in shares.items():
        assert sum(parts.values()) == pytest.approx(1)
        assert {"backbone", "neck", "mask_head", "backward", "optimiser"} <= parts.keys()
        assert ("structured_teacher" in parts) == ("masks" not in variant)
        assert ("teacher" in parts) == ("masks" not in variant and "no EMA" not in variant)
    assert "the cross-image term and L_nce add" in capsys.readouterr().out
