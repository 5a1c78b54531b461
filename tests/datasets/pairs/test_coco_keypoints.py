from __future__ import annotations

import json
from itertools import islice

import numpy as np
import pytest
from image_files import write_image

from mmdet_discobox.datasets.pairs import read_coco_keypoint_pairs

CATEGORIES = [
    {"id": 1, "name": "cat", "keypoints": ["nose", "tail", "paw"]},
    {"id": 2, "name": "dog", "keypoints": ["nose"]},
]


def animal(ann_id, image_id, keypoints, category_id=1, **fields):
    box = {"bbox": [1.0, 2.0, 20.0, 30.0]}
    return {
        "id": ann_id,
        "image_id": image_id,
        "category_id": category_id,
        "keypoints": keypoints,
        **box,
        **fields,
    }


ANIMALS = [
    animal(1, 1, [3, 4, 2, 5, 6, 2, 0, 0, 0]),
    animal(2, 1, [7, 8, 2, 9, 9, 2, 9, 9, 2]),  # a second cat of the first image
    animal(3, 2, [1, 1, 1, 2, 2, 2, 3, 3, 2]),  # its nose is hidden
    animal(4, 2, [1, 2, 2], category_id=2),
    animal(5, 3, [5, 5, 2, 0, 0, 0, 0, 0, 0]),
    animal(6, 3, [5, 5, 2, 5, 5, 2, 5, 5, 2], iscrowd=1),
]


@pytest.fixture
def ann_file(tmp_path):
    images = [
        {"id": k, "file_name": f"{k}.png", "width": 50, "height": 40, "license": 1}
        for k in (1, 2, 3)
    ]
    for image in images:
        write_image(tmp_path / image["file_name"], (50, 40))
    path = tmp_path / "keypoints.json"
    content = {"images": images, "annotations": ANIMALS, "categories": CATEGORIES}
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def named(pairs):
    """Images of a pair, and the indices of the key points that count."""
    return [
        (p.source.path.stem + p.target.path.stem, np.flatnonzero(p.visible).tolist()) for p in pairs
    ]


def test_each_object_is_paired_with_those_of_its_class_in_other_images(ann_file, tmp_path):
    pairs = list(read_coco_keypoint_pairs(ann_file, tmp_path))
    assert named(pairs) == [
        *[("12", [1]), ("13", [0])],  # the first cat; the dog and the crowd are no partners
        *[("12", [1, 2]), ("13", [0])],
        *[("21", [1]), ("21", [1, 2])],  # nothing in common with the cat of image 3
        *[("31", [0]), ("31", [0])],
    ]
    first = pairs[0]
    assert first.class_name == "cat"
    assert first.source.points[:2].tolist() == [[3, 4], [5, 6]]
    assert first.source.box.tolist() == [1, 2, 21, 32]
    assert first.source.size == (50, 40)
    assert len({pair.pair_id for pair in pairs}) == len(pairs)


def test_the_least_number_of_common_points(ann_file, tmp_path):
    pairs = read_coco_keypoint_pairs(ann_file, tmp_path, min_common=2)
    assert named(pairs) == [("12", [1, 2]), ("21", [1, 2])]


def test_missing_images_raise_before_the_first_pair(ann_file, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"1\.png' and 2 more.*set `image_root`"):
        read_coco_keypoint_pairs(ann_file, tmp_path / "elsewhere")


def test_the_animals(discobox_data):
    folder = discobox_data / "animals"
    if not folder.is_dir():
        pytest.skip(f"'{folder}' is not there")
    pairs = read_coco_keypoint_pairs(folder / "val_keypoints.json", folder / "val_keypoints")
    for pair in islice(pairs, 200):
        assert pair.source.path != pair.target.path
        assert pair.visible.any()
        for side in (pair.source, pair.target):
            points = side.points[side.visible]
            assert ((points >= 0) & (points <= side.size)).all()
