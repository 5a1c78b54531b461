"""The study of labels by the share of true masks, without its trainings."""

from __future__ import annotations

import json

import numpy as np
from tiny import write_boxes

import mixed


def test_smaller_shares_are_part_of_larger_ones(tmp_path):
    truth = json.loads((write_boxes(tmp_path / "set", num_images=11) / "masks.json").read_text())
    chosen = [mixed.choose(truth, share, seed=0) for share in (0, 10, 50, 100)]
    assert [len(each) for each in chosen] == [0, 2, 10, 20]
    assert chosen[0] < chosen[1] < chosen[2] < chosen[3]
    assert mixed.choose(truth, 50, seed=1) != chosen[2]
    marked = mixed.mark(truth, chosen[1])["annotations"]
    assert {a["id"] for a in marked if a.get("segmentation")} == chosen[1]
    assert len(marked) == 20
    alone = mixed.only(mixed.mark(truth, chosen[1]), chosen[1])
    assert {a["id"] for a in alone["annotations"]} == chosen[1]
    assert len(alone["images"]) <= 2


def test_labels_are_compared_where_the_training_saw_no_mask(tmp_path):
    truth = json.loads((write_boxes(tmp_path / "set") / "masks.json").read_text())
    assert mixed.ious(truth, truth).tolist() == [1] * 6
    assert len(mixed.ious(truth, truth, leaving_out={1, 2})) == 4
    assert not len(mixed.ious(mixed.mark(truth, set()), truth))
    assert mixed.summary(np.array([0.5, 0.9])) == dict(iou=70.0, good=50.0, objects=2)


def test_the_report_has_a_row_for_each_share(tmp_path):
    for share, seed, iou in ((0, 0, 70), (20, 0, 74), (20, 1, 76)):
        each = dict(iou=iou, good=50, objects=9)
        folder = tmp_path / f"mixed-{share}-8-{seed}"
        folder.mkdir()
        result = dict(share=share, seed=seed, alone=False, masks=3, others=each, val=each)
        (folder / "result.json").write_text(json.dumps(result))
    table = mixed.report(tmp_path)
    assert "| 0 % | boxes of all + masks | 1 | 70.0 (50 %) | 70.0 (50 %) |" in table
    assert "| 20 % | boxes of all + masks | 2 | 75.0 ± 1.4 (50 %) | 75.0 ± 1.4 (50 %) |" in table
    assert (tmp_path / "mixed.md").read_text() == f"{table}\n"
    assert (tmp_path / "mixed.png").stat().st_size > 1000
