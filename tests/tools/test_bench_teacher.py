from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

TOOLS = Path(__file__).parents[2] / "tools"


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    yield importlib.import_module("bench_teacher")
    for name in ("bench_teacher", "teacher_cost", "bench_models", "bench_batch", "coarse_starts"):
        sys.modules.pop(name, None)


@pytest.fixture
def dataset(tmp_path):
    rng = np.random.default_rng(0)
    image = np.full((160, 200, 3), (60, 140, 70), np.uint8)
    cv2.circle(image, (90, 80), 40, (50, 60, 200), -1)
    image = (image + rng.normal(0, 5, image.shape)).clip(0, 255).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "disc.png"), image)
    angles = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    outline = np.stack([90.5 + 40 * np.cos(angles), 80.5 + 40 * np.sin(angles)], 1)
    base = dict(image_id=1, category_id=1, area=5026.0, iscrowd=0)
    annotations = [
        dict(base, id=1, bbox=[50, 40, 81, 81], segmentation=[outline.ravel().tolist()]),
        dict(base, id=2, bbox=[5, 5, 6, 6], segmentation=[[5, 5, 11, 5, 11, 11, 5, 11]]),
        dict(base, id=3, iscrowd=1, bbox=[0, 0, 60, 60],
             segmentation=dict(size=[160, 200], counts=[0, 32000])),
    ]  # fmt: skip
    images = [dict(id=1, file_name="disc.png", height=160, width=200)]
    content = dict(images=images, annotations=annotations, categories=[dict(id=1, name="disc")])
    path = tmp_path / "masks.json"
    path.write_text(json.dumps(content))
    return path


def test_scores_every_kind_and_writes_everything(bench, dataset, tmp_path, capsys):
    out = tmp_path / "bench.json"
    bench.main([str(dataset), str(dataset.parent), "--out", str(out)])
    report = json.loads(out.read_text())
    rows = {row["kind"]: row for row in report["summary"] if row["size"] == "all"}
    assert set(rows) == set(bench.STARTS)
    assert all(row["objects"] == 1 for row in rows.values()), "crowd and tiny objects are skipped"
    for kind in ("eroded", "dilated", "coarse", "soft"):
        assert rows[kind]["default"] > max(rows[kind]["start"], 90)
        assert rows[kind]["paper"] > 50
    assert rows["dilated"]["grabcut"] > 90
    assert {row["size"] for row in report["summary"]} == {"all", "medium"}
    assert report["run"]["seed"] == 0
    assert report["run"]["settings"]["paper"]["algorithm"] == "alg1"
    alone, matching = (
        report["step_seconds"][name] for name in ("default", "default with the cross-image term")
    )
    assert matching > alone > 0
    assert "14 objects in 2 images of 448x640" in capsys.readouterr().out


def test_the_same_seed_gives_the_same_starts(bench):
    mask = np.zeros((1, 64, 64), bool)
    mask[0, 10:40, 20:60] = True
    box = np.float32([[20, 10, 60, 40]])
    for kind in bench.STARTS:
        first, again, other = (bench.start_logits(kind, mask, box, seed=seed) for seed in (3, 3, 4))
        assert first.shape == (1, 16, 16)
        assert np.array_equal(first, again)
        assert np.array_equal(first, other) == (kind not in ("coarse", "soft"))


def test_starts_are_what_they_say(bench):
    mask = np.zeros((1, 128, 128), bool)
    mask[0, 16:96, 24:104] = True
    box = np.float32([[24, 16, 104, 96]])
    areas = {kind: (bench.start_logits(kind, mask, box, seed=0) > 0).sum() for kind in bench.STARTS}
    assert areas["box"] == mask.sum() / 16
    assert areas["eroded"] < areas["box"] < areas["dilated"]
    assert areas["ellipse"] == pytest.approx(np.pi / 4 * areas["box"], rel=0.1)


def test_grabcut_keeps_a_start_of_one_label(bench):
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    box = np.ones((32, 32), bool)
    for start in (box, ~box):
        assert np.array_equal(bench.grabcut(image, start, box), start)


def test_time_is_all_without_a_json(bench, capsys):
    bench.main([])
    assert "default:" in capsys.readouterr().out


def test_rejects_what_it_cannot_use(bench, dataset, tmp_path, capsys):
    with pytest.raises(FileNotFoundError, match=r"disc\.png"):
        bench.main([str(dataset), str(tmp_path / "nowhere")])
    with pytest.raises(ValueError, match="lower --min-size"):
        bench.main([str(dataset), str(dataset.parent), "--min-size", "999"])
    with pytest.raises(SystemExit):
        bench.main([str(dataset)])
    assert "IMG_DIR is needed" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        bench.main(["--part", "3", "2"])


def test_a_result_is_cut_at_the_box_as_its_start_is(bench, dataset, monkeypatch):
    """A mask that leaves its box all around scores as the filled box does."""
    args = bench.parse_args([str(dataset), str(dataset.parent)])
    (picture,) = bench.pictures(args)
    everything = np.ones_like(picture.masks)
    monkeypatch.setattr(bench, "refine", lambda *given: everything)
    records = bench.score(picture, {"default": None}, grab=False)
    filled = 100 * float(bench.iou(bench.box_pixels(picture), picture.masks)[0])
    found = [r["iou"] for r in records if r["method"] == "default"]
    assert found == [pytest.approx(filled)] * len(bench.STARTS)
