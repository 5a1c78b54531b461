from __future__ import annotations

import numpy as np
import pytest
from image_files import write_image
from scipy.io import savemat

from mmdet_discobox.datasets.pairs import pf_pascal, read_pf_pascal
from mmdet_discobox.datasets.pairs.csv_rows import read_rows
from mmdet_discobox.utils.voc import VOC_CLASSES

NAN = np.nan
KPS = {
    "a": [[1, 1], [11, 21], [NAN, NAN], [31, 5.5]],
    "b": [[2, 3], [NAN, NAN], [7, 8], [40, 30]],
}
BOXES = {"a": [1, 1, 41, 31], "b": [2, 3, 50, 40]}
PLAIN = ["source_image,target_image,class,flip"]
WITH_COORDINATES = ["source_image,target_image,class,XA,YA,XB,YB"]


def write_set(folder, *, size=(50, 40)):
    """The two folders of PF-PASCAL with two cats."""
    for name in "ab":
        write_image(folder / "JPEGImages" / f"{name}.jpg", size)
        annotation = folder / "Annotations" / "cat" / f"{name}.mat"
        annotation.parent.mkdir(parents=True, exist_ok=True)
        savemat(annotation, {"kps": np.array(KPS[name], float), "bbox": np.array([BOXES[name]])})
    return folder


def write_csv(path, lines):
    path.write_text("\r\n".join(lines) + "\r\n", encoding="utf-8")
    return path


@pytest.fixture(params=["PF-PASCAL", "PF-dataset-PASCAL"])
def folder(tmp_path, request):
    return write_set(tmp_path / request.param)


def names(prefix="PF-dataset-PASCAL/JPEGImages/"):
    return f"{prefix}a.jpg,{prefix}b.jpg"


@pytest.mark.parametrize("prefix", ["PF-dataset-PASCAL/JPEGImages/", "JPEGImages/"])
def test_annotations_of_both_layouts(folder, tmp_path, prefix):
    pairs_csv = write_csv(tmp_path / "pairs.csv", [*PLAIN, f"{names(prefix)},8,0"])
    (pair,) = read_pf_pascal(pairs_csv, folder)
    assert pair.class_name == "cat"
    assert pair.source.path == folder / "JPEGImages" / "a.jpg"
    assert pair.source.size == (50, 40)
    np.testing.assert_array_equal(pair.source.points, np.array(KPS["a"]) - 1)
    np.testing.assert_array_equal(pair.target.box, np.array(BOXES["b"]) - 1)
    assert pair.source.visible.tolist() == [True, True, False, True]
    assert pair.visible.tolist() == [True, False, False, True]


def test_the_parent_folder_is_accepted(tmp_path):
    write_set(tmp_path / "PF-dataset-PASCAL")
    pairs_csv = write_csv(tmp_path / "pairs.csv", [*PLAIN, f"{names()},8,0"])
    assert len(read_pf_pascal(pairs_csv, tmp_path)) == 1


def test_flip_is_a_flag_of_the_pair(folder, tmp_path):
    rows = [f"{names()},8,0", f"{names()},8,1"]
    straight, mirrored = read_pf_pascal(write_csv(tmp_path / "train.csv", [*PLAIN, *rows]), folder)
    assert (straight.flip, mirrored.flip) == (False, True)
    assert straight.pair_id != mirrored.pair_id
    np.testing.assert_array_equal(straight.source.points, mirrored.source.points)


def coordinates_csv(path, numbers="1;11.5,1;21,2;7,3;8"):
    return write_csv(path, [*WITH_COORDINATES, f"{names()},8,{numbers}", ""])


def test_coordinates_of_the_csv(folder, tmp_path):
    (pair,) = read_pf_pascal(coordinates_csv(tmp_path / "test.csv"), folder)
    assert pair.source.points.tolist() == [[0, 0], [10.5, 20]]
    assert pair.target.points.tolist() == [[1, 2], [6, 7]]
    assert pair.visible.all()
    assert pair.source.box is None
    assert not pair.flip


def test_annotations_may_replace_the_coordinates(folder, tmp_path):
    (pair,) = read_pf_pascal(coordinates_csv(tmp_path / "test.csv"), folder, annotations=True)
    assert len(pair.visible) == 4
    assert pair.source.box is not None


def test_coordinates_of_smaller_images_are_scaled(tmp_path):
    folder = write_set(tmp_path, size=(500, 375))
    pairs_csv = coordinates_csv(tmp_path / "val.csv", "3;300,6;150,60;90,30;45")
    (pair,) = read_pf_pascal(pairs_csv, folder, csv_long_side=300)
    # 500 / 300 of the 1-based coordinates, then 0-based
    np.testing.assert_allclose(pair.source.points, [[4, 9], [499, 249]])
    np.testing.assert_allclose(pair.target.points, [[99, 49], [149, 74]])


@pytest.mark.parametrize(
    ("size", "numbers", "warned"),
    [
        ((500, 375), "3;300,6;150,60;90,30;45", True),
        ((500, 375), "3;310,6;150,60;90,30;45", False),
        ((300, 225), "3;300,6;150,60;90,30;45", False),
    ],
)
def test_a_warning_if_coordinates_look_too_small(tmp_path, monkeypatch, size, numbers, warned):
    warnings = []
    monkeypatch.setattr(pf_pascal, "print_log", lambda text, **_: warnings.append(text))
    folder = write_set(tmp_path, size=size)
    pairs_csv = coordinates_csv(tmp_path / "val.csv", numbers)
    read_pf_pascal(pairs_csv, folder)
    assert ["csv_long_side=300" in text for text in warnings] == [True] * warned


def test_missing_files_are_named_with_their_origin(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no\.csv'.*willow/research/proposalflow"):
        read_pf_pascal(tmp_path / "no.csv", folder)
    pairs_csv = write_csv(tmp_path / "pairs.csv", [*PLAIN, f"{names()},8,0"])
    (folder / "Annotations" / "cat" / "b.mat").unlink()
    with pytest.raises(FileNotFoundError, match=r"cat.b\.mat', but it is not there\. PF-PASCAL is"):
        read_pf_pascal(pairs_csv, folder)
    (folder / "JPEGImages" / "a.jpg").unlink()
    (folder / "JPEGImages" / "b.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"a\.jpg' and 1 more.*PF-PASCAL is at"):
        read_pf_pascal(pairs_csv, folder)


@pytest.mark.parametrize(
    ("row", "match"),
    [
        ("{},8", "row 2 of .* to have the columns source, target, class and either `flip`"),
        ("{},21,0", "row 2 of .* to have a class from 1 to 20"),
        ("{},cat,0", "a class from 1 to 20"),
        ("{},8,2", "0 or 1 as `flip`"),
        ("{},8,1;2,3;4,5;6,7", "as many x as y, all numbers"),
        ("{},8,1;2,3;x,5;6,7;8", "as many x as y, all numbers"),
        ("{},8,1;nan,3;4,5;6,7;8", "finite coordinates"),
        ("{},8,1;2,3;4,5,7", "as many source as target key points"),
    ],
)
def test_wrong_rows(tmp_path, row, match):
    write_set(tmp_path)
    pairs_csv = write_csv(tmp_path / "pairs.csv", [*PLAIN, row.format(names())])
    with pytest.raises(ValueError, match=match):
        read_pf_pascal(pairs_csv, tmp_path)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ({"kps": np.zeros((4, 2))}, r"`bbox` of shape \(1, 4\), but got \(4, 2\) and \(\)"),
        ({"kps": np.zeros((2, 4)), "bbox": np.ones((1, 4))}, r"but got \(2, 4\) and \(1, 4\)"),
        (None, "to be a MATLAB file"),
    ],
)
def test_wrong_annotations(tmp_path, content, match):
    write_set(tmp_path)
    path = tmp_path / "Annotations" / "cat" / "a.mat"
    savemat(path, content) if content else path.write_bytes(b"not a MATLAB file " * 20)
    pairs_csv = write_csv(tmp_path / "pairs.csv", [*PLAIN, f"{names()},8,0"])
    with pytest.raises(ValueError, match=match):
        read_pf_pascal(pairs_csv, tmp_path)


def test_wrong_long_side(tmp_path):
    with pytest.raises(ValueError, match="`csv_long_side` above 0 pixels, but got 0"):
        read_pf_pascal(tmp_path / "pairs.csv", tmp_path, csv_long_side=0)


def test_the_validation_pairs_of_the_animals(discobox_data):
    folder = discobox_data / "pf_pascal_animals"
    if not folder.is_dir():
        pytest.skip(f"'{folder}' is not there")
    pairs = read_pf_pascal(folder / "val_pairs.csv", folder, csv_long_side=300)
    assert len(pairs) == 65
    assert {pair.class_name for pair in pairs} == {
        *("cat", "cow", "dog", "horse", "pottedplant", "sheep")
    }
    for pair in pairs:
        for side in (pair.source, pair.target):
            assert max(side.size) == 300
            assert (side.points >= -1).all()
            assert (side.points <= side.size).all()


@pytest.mark.parametrize(
    ("name", "count", "columns"),
    [("train_pairs", 2940, 4), ("val_pairs", 308, 7), ("val_pairs_nocoords", 308, 4)],
)
def test_the_published_lists(discobox_data, name, count, columns):
    path = discobox_data / "pf_pascal_pairs" / f"{name}.csv"
    if not path.is_file():
        pytest.skip(f"'{path}' is not there")
    rows = list(read_rows(path, source=""))
    assert len(rows) == count
    assert {len(row.cells) for row in rows} == {columns}
    assert {int(row.cells[2]) for row in rows} == set(range(1, len(VOC_CLASSES) + 1))
