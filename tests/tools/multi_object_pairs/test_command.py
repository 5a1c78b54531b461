"""The command that enumerates object pairs."""

from __future__ import annotations

import json
import sys

import make_multi_object_pairs
from mmdet_discobox.datasets.multi_object import ObjectPairSet, read_coco_keypoints
from multi_object_pairs import make_object_pairs

CONTENT = {
    "images": [
        {"id": image_id, "file_name": f"{image_id}.png", "width": 60, "height": 40}
        for image_id in (1, 2, 3)
    ],
    "categories": [{"id": 7, "name": "cat", "keypoints": ["nose", "tail"]}],
    "annotations": [
        {"id": i, "image_id": i, "category_id": 7, "bbox": [1, 2, 10, 20], "keypoints": points}
        for i, points in ((1, [5, 6, 2, 7, 8, 1]), (2, [3, 4, 2, 0, 0, 0]), (3, [0, 0, 0, 9, 9, 2]))
    ],
}


def test_the_command_writes_the_pairs(monkeypatch, tmp_path, capsys):
    source, output = tmp_path / "keypoints.json", tmp_path / "neu ö" / "pairs.npz"
    source.write_text(json.dumps(CONTENT))
    monkeypatch.setattr(sys, "argv", ["tool", str(source), str(output)])
    make_multi_object_pairs.main()
    assert "1 image pairs, 1 object pairs of 3 images with 3 objects" in capsys.readouterr().out
    assert len(ObjectPairSet.load(output)) == 1


def test_real_animals(discobox_data):
    objects = read_coco_keypoints(discobox_data / "animals" / "val_keypoints.json")
    found = make_object_pairs(objects)
    assert (len(objects.images), len(objects)) == (100, 183)
    assert len(found) == 1201
    assert len(found.object_pairs) == 3473
