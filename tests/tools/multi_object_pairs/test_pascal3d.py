from __future__ import annotations

import numpy as np
import pytest
from scipy.io import savemat

from multi_object_pairs import (
    make_object_pairs,
    pairwise_angles,
    read_pascal3d,
    rotations_from_viewpoints,
)
from multi_object_pairs.pascal3d import read_pascal3d_annotation

EMPTY = np.zeros((0, 0))
FINE = dict(azimuth=30.0, elevation=10.0, theta=-5.0, distance=7.0)
COARSE = dict(azimuth_coarse=45.0, elevation_coarse=0.0)


def struct_array(items):
    """A Matlab struct array, whose elements share their fields."""
    array = np.empty((1, len(items)), [(name, object) for name in items[0]])
    for place, item in enumerate(items):
        array[0, place] = tuple(item.values())
    return array


def an_object(name="car", *, bbox=(11, 21, 111, 71), viewpoint=None, anchors=None):
    return {
        "class": name,
        "view": "Left",
        "bbox": np.array([bbox], float),
        "truncated": 0,
        "occluded": 0,
        "difficult": 1,
        "anchors": EMPTY if anchors is None else anchors,
        "viewpoint": EMPTY if viewpoint is None else viewpoint,
        "cad_index": 3,
    }


def an_anchor(status, location=None):
    return {"location": EMPTY if location is None else np.array([location]), "status": status}


def write(path, objects, **fields):
    path.parent.mkdir(parents=True, exist_ok=True)
    record = {
        "filename": f"{path.stem}.jpg",
        "size": {"height": 375, "width": 500, "depth": 3},
        "imgsize": np.array([[500, 375, 3]]),
        "objects": struct_array(objects),
        **fields,
    }
    savemat(path, {"record": record})
    return path


ANCHORS = {
    "wheel": an_anchor(1, (31.0, 61.5)),
    "hidden": an_anchor(2, (5.0, 5.0)),
    "absent": an_anchor(4),
}


def only(tmp_path, **fields):
    path = write(tmp_path / "x.mat", [an_object(**fields)])
    (found,) = read_pascal3d_annotation(path, name="car")
    return found


def test_reads_a_single_object(tmp_path):
    found = only(tmp_path, viewpoint={**FINE, **COARSE}, anchors=ANCHORS)
    np.testing.assert_array_equal(found["box"], [10, 20, 110, 70])
    assert list(found["keypoints"]) == ["wheel"]
    np.testing.assert_array_equal(found["keypoints"]["wheel"], [30.0, 60.5])
    np.testing.assert_allclose(found["rotation"], rotations_from_viewpoints(30, 10, -5))


@pytest.mark.parametrize(
    "viewpoint",
    [
        COARSE,
        {**COARSE, "azimuth": EMPTY, "elevation": EMPTY, "theta": EMPTY},
        {**COARSE, "azimuth": 3.0, "elevation": 1.0},
        {**COARSE, "azimuth": 0.0, "elevation": 0.0, "theta": 0.0, "distance": 5.0},
        {**COARSE, **FINE, "distance": 0.0},
    ],
)
def test_falls_back_to_the_coarse_viewpoint(tmp_path, viewpoint):
    rotation = only(tmp_path, viewpoint=viewpoint)["rotation"]
    np.testing.assert_allclose(rotation, rotations_from_viewpoints(45, 0, 0))


@pytest.mark.parametrize("viewpoint", [None, {"azimuth": 3.0}, {"azimuth_coarse": EMPTY}])
def test_an_orientation_may_be_unknown(tmp_path, viewpoint):
    assert only(tmp_path, viewpoint=viewpoint)["rotation"] is None


def test_empty_anchors_are_no_key_points(tmp_path):
    assert only(tmp_path)["keypoints"] == {}
    assert only(tmp_path, anchors={"absent": an_anchor(EMPTY)})["keypoints"] == {}


def test_objects_of_other_classes_are_left_out(tmp_path):
    objects = [an_object("bus"), an_object(bbox=(1, 1, 9, 9)), an_object("person")]
    path = write(tmp_path / "x.mat", objects)
    (found,) = read_pascal3d_annotation(path, name="car")
    np.testing.assert_array_equal(found["box"], [0, 0, 8, 8])


def test_the_order_of_imgsize_does_not_matter(tmp_path):
    one = write(tmp_path / "one.mat", [an_object(anchors=ANCHORS)])
    two = write(
        tmp_path / "two.mat", [an_object(anchors=ANCHORS)], imgsize=np.array([[375, 500, 3]])
    )
    (first,), (second,) = (read_pascal3d_annotation(path, name="car") for path in (one, two))
    np.testing.assert_array_equal(first["box"], second["box"])


@pytest.fixture
def root(tmp_path):
    """Three images: cars in all, a bus in the second, whose file of cars lists it as well."""
    lists = tmp_path / "PASCAL/VOCdevkit/VOC2012/ImageSets/Main"
    lists.mkdir(parents=True)
    for name in ("car", "bus"):
        flags = "a  1\nb  1\nc  0\nd -1\n" if name == "car" else "a -1\nb  1\n\n"
        (lists / f"{name}_val.txt").write_text(flags)
    folder = tmp_path / "Annotations"
    near, far = {**FINE, "azimuth": 85.0}, {**FINE, "azimuth": 210.0}
    mirror, wheel = {"mirror": an_anchor(1, (2.0, 3.0))}, {"wheel": ANCHORS["wheel"]}
    write(folder / "car_pascal/a.mat", [an_object(viewpoint=FINE, anchors=ANCHORS)])
    in_b = an_object(viewpoint=near, anchors={**mirror, **wheel})
    write(folder / "car_pascal/b.mat", [an_object("bus"), in_b])
    write(folder / "bus_pascal/b.mat", [an_object("bus", viewpoint=near, anchors=mirror)])
    write(folder / "car_pascal/c.mat", [an_object(viewpoint=far, anchors=wheel)])
    return tmp_path


def test_reads_a_split(root):
    found = read_pascal3d(root, classes=("bus", "car"))
    assert found.images == tuple(
        f"Images/{folder}/{name}.jpg"
        for folder, name in [("car_pascal", "a"), ("bus_pascal", "b"), ("car_pascal", "c")]
    )
    np.testing.assert_array_equal(found.image_index, [0, 1, 1, 2])
    np.testing.assert_array_equal(found.labels, [1, 0, 1, 1])
    expected = [[False, True], [True, False], [True, True], [False, True]]  # mirror, wheel
    np.testing.assert_array_equal(found.visible, expected)
    np.testing.assert_array_equal(found.keypoints[:, 1][found.visible[:, 1]], [[30, 60.5]] * 3)
    assert not np.isnan(found.rotations).any()


def test_objects_that_differ_by_more_than_60_degrees_make_no_pair(root):
    found = read_pascal3d(root, classes=("car",))
    angles = pairwise_angles(found.rotations, found.rotations)
    assert angles[0, 1] < 60 < min(angles[0, 2], angles[1, 2])
    assert make_object_pairs(found, max_angle=60).object_pairs.tolist() == [[0, 1]]
    assert make_object_pairs(found).object_pairs.tolist() == [[0, 1], [0, 2], [1, 2]]


def test_missing_files_are_named(root):
    with pytest.raises(FileNotFoundError, match=r"sofa_val\.txt' is missing.*release1\.1\.zip"):
        read_pascal3d(root, classes=("car", "sofa"))
    (root / "Annotations/bus_pascal/b.mat").unlink()
    with pytest.raises(FileNotFoundError, match=r"bus_pascal.*is missing"):
        read_pascal3d(root, classes=("bus",))


def test_names_the_file_that_is_broken(tmp_path):
    broken = tmp_path / "broken.mat"
    broken.write_bytes(b"no mat file")
    other = tmp_path / "other.mat"
    savemat(other, {"GTinst": 1})
    boxless = write(tmp_path / "boxless.mat", [an_object(bbox=(1, 2, 3))])
    for path in (broken, other, boxless):
        with pytest.raises(ValueError, match=f"Expected an annotation of PASCAL 3D.*{path.name}"):
            read_pascal3d_annotation(path, name="car")


def test_names_the_file_that_was_cut_or_altered(tmp_path):
    path = tmp_path / "damaged.mat"
    savemat(path, {"record": {"objects": struct_array([an_object()])}}, do_compression=True)
    whole = path.read_bytes()
    altered = whole[:-20] + bytes(5) + whole[-15:]
    for content in (*(whole[:length] for length in range(0, len(whole), 20)), altered):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"Expected an annotation of PASCAL 3D.*damaged\.mat"):
            read_pascal3d_annotation(path, name="car")
