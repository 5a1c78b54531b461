"""Data sets of pairs for the test script of mmdet."""

from __future__ import annotations

import json

import numpy as np
import pytest
from datasets.pairs.image_files import write_image

from mmdet_discobox.datasets import KeypointPairDataset, ObjectPairDataset
from mmdet_discobox.datasets.multi_object import KeypointObjects
from mmdet_discobox.datasets.pairs import coco_keypoints
from multi_object_pairs import make_object_pairs


def write_willow(root, rows=12):
    """A list of pairs, each of another source."""
    points = ";".join("123456789") + ";10"
    lines = ["source,target,class,XA,YA,XB,YB"]
    for number in range(rows):
        write_image(root / f"car/{number}.png")
        lines.append(f"car/{number}.png,car/0.png,car{4 * (',' + points)}")
    (root / "pairs.csv").write_text("\n".join(lines))
    return dict(reader="pf_willow", pairs_csv=root / "pairs.csv", root=root)


def test_all_pairs_or_some(tmp_path):
    settings = write_willow(tmp_path)
    every = KeypointPairDataset(**settings)
    assert [every[i]["item"].source.path.stem for i in range(len(every))] == [
        str(number) for number in range(12)
    ]
    some, again = (KeypointPairDataset(**settings, limit=5) for _ in range(2))
    found = [int(some[i]["item"].source.path.stem) for i in range(5)]
    assert found == sorted(set(found)) != [0, 1, 2, 3, 4]
    assert [int(again[i]["item"].source.path.stem) for i in range(5)] == found
    assert len(KeypointPairDataset(**settings, limit=99)) == 12


def write_coco(root, count):
    """A json of one object in each of ``count`` images, which all have a common key point."""
    sides = dict(width=50, height=40)
    images = [dict(id=i, file_name=f"{i}.png", **sides) for i in range(count)]
    for image in images:
        (root / image["file_name"]).touch()
    annotations = [
        dict(id=i, image_id=i, category_id=1, bbox=[1, 1, 9, 9], keypoints=[i % 9, 2, 2])
        for i in range(count)
    ]
    content = dict(images=images, annotations=annotations, categories=[dict(id=1, name="cat")])
    (root / "keypoints.json").write_text(json.dumps(content))
    return dict(reader="coco", ann_file=root / "keypoints.json", image_root=root)


def test_pairs_that_are_not_drawn_are_not_created(tmp_path, monkeypatch):
    settings = write_coco(tmp_path, 40)
    every = list(KeypointPairDataset(**settings).pairs)
    assert len(every) == 40 * 39
    made = []
    monkeypatch.setattr(coco_keypoints, "KeypointPair", lambda *a: made.append(a) or a)
    some = KeypointPairDataset(**settings, limit=5)
    ids = [some[i]["item"][0] for i in range(len(some))]
    assert len(made) == 5
    places = np.random.default_rng(0).permutation(len(every))[:5]  # docs quote figures on these
    assert ids == [every[place].pair_id for place in sorted(places)]


def test_all_pairs_have_numbers(tmp_path):
    dataset = KeypointPairDataset(**write_coco(tmp_path, 6))
    ids = [pair.pair_id for pair in dataset.pairs]
    assert [dataset[i]["item"].pair_id for i in range(len(dataset))] == ids
    assert len(set(ids)) == len(dataset) == 6 * 5
    assert dataset.pairs[-1].pair_id == ids[-1]
    assert [pair.pair_id for pair in dataset.pairs[3:9:2]] == ids[3:9:2]
    with pytest.raises(IndexError):
        dataset[len(dataset)]


def test_an_unknown_reader():
    with pytest.raises(ValueError, match="`reader` to be one of .*'spair', 'coco'.* but got 'voc'"):
        KeypointPairDataset("voc", root="x")


def test_image_pairs_have_paths_and_classes(tmp_path):
    records = [
        dict(image=i, label=0, box=(0, 0, 9, 9), keypoints={0: (1, 2)}, rotation=None)
        for i in range(3)
    ]
    objects = KeypointObjects.from_records(
        records, images=["x/a.jpg", "b.jpg", "c.jpg"], classes=["cat"], num_keypoints=1
    )
    make_object_pairs(objects).save(tmp_path / "pairs.npz")
    dataset = ObjectPairDataset(tmp_path / "pairs.npz", tmp_path / "images")
    assert len(dataset) == 3
    item = dataset[0]["item"]
    assert item["source"]["image"] == str(tmp_path / "images/x/a.jpg")
    assert item["target"]["image"] == str(tmp_path / "images/b.jpg")
    assert list(item["classes"]) == ["cat"]
    np.testing.assert_array_equal(item["object_pairs"], [[0, 0]])
    assert len(ObjectPairDataset(tmp_path / "pairs.npz", tmp_path, limit=2)) == 2
