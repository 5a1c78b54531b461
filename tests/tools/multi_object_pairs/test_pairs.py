from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mmdet_discobox.datasets.multi_object import KeypointObjects, ObjectPairSet
from multi_object_pairs import make_object_pairs
from multi_object_pairs import pairs as pairs_module


def random_objects(seed, *, count=40, images=12, classes=3, points=4, known=0.8):
    rng = np.random.default_rng(seed)
    rotations = Rotation.random(count, random_state=seed).as_matrix().astype(np.float32)
    rotations[rng.random(count) > known] = np.nan
    return KeypointObjects(
        images=tuple(f"{index}.jpg" for index in range(images)),
        classes=tuple(f"class {index}" for index in range(classes)),
        image_index=np.sort(rng.integers(images, size=count)).astype(np.int32),
        labels=rng.integers(classes, size=count).astype(np.int32),
        boxes=rng.uniform(0, 99, (count, 4)).astype(np.float32),
        keypoints=rng.uniform(0, 99, (count, points, 2)).astype(np.float32),
        visible=rng.random((count, points)) < 0.4,
        rotations=rotations,
    )


def naive_pairs(objects, max_angle, both_directions):
    """Sec. 4.1 word for word: pairs of images, pairs of objects, key points of both."""
    found = {}
    for a, b in itertools.permutations(range(len(objects.images)), 2):
        if a > b and not both_directions:
            continue
        for i, j in itertools.product(range(len(objects)), repeat=2):
            here = objects.image_index[i] == a and objects.image_index[j] == b
            if not here or objects.labels[i] != objects.labels[j]:
                continue
            if not any(
                p and q for p, q in zip(objects.visible[i], objects.visible[j], strict=True)
            ):
                continue
            if max_angle is not None:
                between = objects.rotations[i].T @ objects.rotations[j]
                if np.isnan(between).any():
                    continue
                if np.degrees(Rotation.from_matrix(between).magnitude()) > max_angle:
                    continue
            found.setdefault((a, b), set()).add((i, j))
    return found


def as_dict(found):
    ranges = zip(found.first[:-1], found.first[1:], strict=True)
    return {
        tuple(images): set(map(tuple, found.object_pairs[start:end].tolist()))
        for images, (start, end) in zip(found.image_pairs.tolist(), ranges, strict=True)
    }


@pytest.mark.parametrize("both_directions", [False, True])
@pytest.mark.parametrize("max_angle", [None, 60, 120])
def test_finds_the_pairs_of_the_paper(max_angle, both_directions, monkeypatch):
    monkeypatch.setattr(pairs_module, "_BLOCK", 5)
    for seed in range(3):
        objects = random_objects(seed)
        found = make_object_pairs(objects, max_angle=max_angle, both_directions=both_directions)
        expected = naive_pairs(objects, max_angle, both_directions)
        assert expected
        assert as_dict(found) == expected
        assert len(found.object_pairs) == sum(map(len, expected.values()))


def test_60_degrees_are_not_more_than_60():
    objects = random_objects(0, count=3, images=3, classes=1, points=1, known=1)
    turns = Rotation.from_euler("z", [0, 60, 121], degrees=True).as_matrix()
    objects = replace(
        objects,
        image_index=np.arange(3, dtype=np.int32),
        visible=np.ones((3, 1), bool),
        rotations=turns.astype(np.float32),
    )
    assert make_object_pairs(objects, max_angle=60).object_pairs.tolist() == [[0, 1]]


def test_an_item_is_the_ground_truth_of_two_images():
    objects = random_objects(1)
    found = make_object_pairs(objects)
    for index in range(len(found)):
        item = found[index]
        for side, image in zip(("source", "target"), found.image_pairs[index], strict=True):
            rows = objects.image_index == image
            assert item[side]["image"] == f"{image}.jpg"
            for name in ("boxes", "labels", "keypoints", "visible"):
                np.testing.assert_array_equal(item[side][name], getattr(objects, name)[rows])
        places = item["object_pairs"].T
        labels = [item[side]["labels"][place] for side, place in zip(item, places, strict=False)]
        np.testing.assert_array_equal(*labels)
        assert len(places.T) == found.first[index + 1] - found.first[index] > 0


def test_a_list_of_items_ends():
    found = make_object_pairs(random_objects(2))
    assert len(list(found)) == len(found)
    with pytest.raises(IndexError, match=f"0 to {len(found) - 1}, but got -1"):
        found[-1]


def test_a_file_brings_everything_back(tmp_path):
    found = make_object_pairs(random_objects(3), max_angle=90)
    found.save(tmp_path / "pairs.npz")
    back = ObjectPairSet.load(tmp_path / "pairs.npz")
    assert back.objects.images == found.objects.images
    assert back.objects.classes == found.objects.classes
    for owner, other in ((found, back), (found.objects, back.objects)):
        for name, value in vars(owner).items():
            if isinstance(value, np.ndarray):
                np.testing.assert_array_equal(getattr(other, name), value)
                assert getattr(other, name).dtype == value.dtype


def test_other_files_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no such file.*make_multi_object_pairs"):
        ObjectPairSet.load(tmp_path / "pairs.npz")
    np.savez(tmp_path / "other.npz", x=1)
    (tmp_path / "text.npz").write_text("text")
    for name in ("other.npz", "text.npz"):
        with pytest.raises(ValueError, match=r"a file of object pairs, but got"):
            ObjectPairSet.load(tmp_path / name)


@pytest.mark.parametrize("share", [0, 0.001, 0.3, 0.999])
def test_a_truncated_file_is_refused(tmp_path, share):
    path = tmp_path / "pairs.npz"
    make_object_pairs(random_objects(3)).save(path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(ValueError, match=r"pairs\.npz' to be .*, but got.*make_multi_object_pairs"):
        ObjectPairSet.load(path)


def test_a_damaged_file_is_refused(tmp_path):
    path = tmp_path / "pairs.npz"
    make_object_pairs(random_objects(3)).save(path)
    whole, refused = path.read_bytes(), 0
    for place in range(0, len(whole), 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
        try:
            ObjectPairSet.load(path)
        except ValueError as error:
            assert "pairs.npz" in str(error)  # noqa: PT017 - some bytes mean nothing
            refused += 1
    assert refused > 100


def test_a_file_is_whole_or_not_there(tmp_path, monkeypatch):
    path = tmp_path / "pairs.npz"
    found = make_object_pairs(random_objects(3))
    found.save(path)
    before = path.read_bytes()

    def cut(file, **_):
        file.write(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(np, "savez_compressed", cut)
    with pytest.raises(OSError, match="no space left"):
        found.save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_no_objects_make_no_pairs():
    nothing = random_objects(0, count=0)
    assert len(make_object_pairs(nothing)) == 0


def test_angles_need_orientations():
    with pytest.raises(ValueError, match=r"max_angle=60.*none in 40 objects.*max_angle=None"):
        make_object_pairs(random_objects(0, known=0), max_angle=60)
