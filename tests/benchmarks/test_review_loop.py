"""The simulated loop label - review - train again."""

from __future__ import annotations

import json

import pytest
from tiny import write_boxes

import review_loop
import review_report
from mmdet_discobox.labelling.review.review_order import proposed_order


def draw_other_masks(path):
    """Leave the left 60 % of each box, which no labeller finds on flat colours."""
    truth = json.loads(path.read_text())
    for a in truth["annotations"]:
        x, y, width, height = a["bbox"]
        right, bottom = x + 0.6 * width, y + height
        a["segmentation"] = [[x, y, right, y, right, bottom, x, bottom]]
    path.write_text(json.dumps(truth))


@pytest.mark.slow
@pytest.mark.parametrize("correct", [False, True])
def test_the_loop_from_end_to_end(tmp_path, monkeypatch, capsys, correct):
    root, out = write_boxes(tmp_path / "set"), tmp_path / "out"
    if correct:
        draw_other_masks(root / "masks.json")
    words = [str(root / "masks.json"), str(root / "images"), "--out", str(out), "--looks", "2"]
    words += ["--epochs", "1", "--order", "proposed", "--val", str(root / "masks.json")]
    monkeypatch.setattr(review_loop, "ACCEPTED", 0.9 if correct else 0.5)
    review_loop.main([*words, "--rounds", "1", *["--correct"] * correct])
    kind = f"proposed{'_corrected' if correct else ''}_2_1"
    folder = out / kind / "seed0"
    (result,) = [json.loads(path.read_text()) for path in out.glob("*/*/rounds.json")]
    before, after = result["rounds"]
    assert before["accepted"] == 0
    assert after["accepted"] == pytest.approx(100 * 2 / 6)
    assert all(0 < each[name] <= 100 for each in result["rounds"] for name in ("others", "val"))
    first = json.loads((out / "labels.json").read_text())["annotations"]
    classes, qualities = zip(*[(a["category_id"], a["mask_quality"]) for a in first], strict=True)
    looked = {first[index]["id"] for index in proposed_order(classes, qualities)[:2]}
    following = json.loads((folder / "round1" / "next.json").read_text())["annotations"]
    assert {a["id"] for a in following if a.get("segmentation")} == looked
    truth = {a["id"]: a for a in json.loads((root / "masks.json").read_text())["annotations"]}
    for a in following:
        if a["id"] in looked:
            assert (a["segmentation"] == truth[a["id"]]["segmentation"]) == correct
    assert "| 1 | 1 |" in capsys.readouterr().out
    assert (out / "review_loop.png").stat().st_size > 1000

    def not_again(*words, **options):
        raise AssertionError(words)

    monkeypatch.setattr(review_loop.subprocess, "run", not_again)
    review_loop.main([*words, "--rounds", "1", *["--correct"] * correct])


def test_orders():
    classes, qualities = ["a", "a", "a", "b"], [0.3, 0.2, 0.9, 0.5]
    assert review_loop.ORDERS["proposed"](classes, qualities, 0) == [1, 3, 0, 2]
    assert review_loop.ORDERS["best"](classes, qualities, 0) == [2, 3, 0, 1]
    orders = {tuple(review_loop.ORDERS["random"](classes, qualities, seed)) for seed in range(9)}
    assert len(orders) > 2
    assert all(sorted(order) == [0, 1, 2, 3] for order in orders)


def test_the_report_has_a_row_for_each_round(tmp_path):
    for seed, gain in ((0, 1.0), (1, 3.0)):
        start = dict(looks=0, accepted=0.0, others=70.0, all=70.0)
        end = dict(looks=50, accepted=4.0, others=70.0 + gain, all=71.0 + gain)
        loop = dict(order="random", correct=False, looks=50, seed=seed, rounds=[start, end])
        folder = tmp_path / "random_50_8" / f"seed{seed}"
        folder.mkdir(parents=True)
        (folder / "rounds.json").write_text(json.dumps(loop))
    text = review_report.write_report(tmp_path)
    assert "| random | 2 | 0 | 0 | 0.0 ± 0.0 | 70.0 ± 0.0 | 70.0 ± 0.0 |" in text
    assert "| random | 2 | 1 | 50 | 4.0 ± 0.0 | 72.0 ± 1.4 | 73.0 ± 1.4 |" in text
    assert (tmp_path / "review_loop.md").read_text() == text


def test_loops_of_other_epochs_are_rows_of_their_own(tmp_path):
    for epochs, gain in ((4, 1.0), (8, 3.0)):
        rounds = [dict(looks=0, accepted=0.0, others=70.0 + gain, all=70.0 + gain)]
        loop = dict(order="random", correct=False, looks=50, seed=0, rounds=rounds)
        folder = tmp_path / f"random_50_{epochs}" / "seed0"
        folder.mkdir(parents=True)
        (folder / "rounds.json").write_text(json.dumps(loop))
    text = review_report.write_report(tmp_path)
    assert "| random, 4 epochs | 1 | 0 | 0 | 0.0 | 71.0 | 71.0 |" in text
    assert "| random, 8 epochs | 1 | 0 | 0 | 0.0 | 73.0 | 73.0 |" in text


def test_a_folder_has_loops_of_the_same_masks_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(review_loop.Loop, "play", lambda loop, rounds: None)
    root = write_boxes(tmp_path / "set")
    words = [str(root / "masks.json"), str(root / "images"), "--out", str(tmp_path / "out")]
    words += ["--order", "proposed", "--rounds", "1"]
    review_loop.main(words)
    review_loop.main([*words, "--val", str(root / "masks.json")])
    draw_other_masks(root / "masks.json")
    with pytest.raises(ValueError, match=r"but masks\.json in .*set differ.*another --out"):
        review_loop.main(words)
