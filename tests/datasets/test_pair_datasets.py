"""The pairs as mmdet's test script reads them."""

from __future__ import annotations

import numpy as np
import pytest
from datasets.pairs.pictures import write_picture

from mmdet_discobox.datasets import KeypointPairDataset, ObjectPairDataset
from mmdet_discobox.datasets.multi_object import KeypointObjects, make_object_pairs


def write_willow(root, rows=12):
    """A list of pairs, each of another source."""
    points = ";".join("123456789") + ";10"
    lines = ["source,target,class,XA,YA,XB,YB"]
    for number in range(rows):
        write_picture(root / f"car/{number}.png")
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
    drawn = [int(some[i]["item"].source.path.stem) for i in range(5)]
    assert drawn == sorted(set(drawn)) != [0, 1, 2, 3, 4]
    assert [item.pair_id for item in again.pairs] == [item.pair_id for item in some.pairs]
    assert len(KeypointPairDataset(**settings, limit=99)) == 12


def test_a_reader_that_is_none():
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
