from __future__ import annotations

import numpy as np
import pytest
from image_files import write_image
from scipy.io import loadmat

from mmdet_discobox.datasets.pairs import read_pf_willow

SOURCE, TARGET = np.arange(1.0, 21).reshape(2, 10), np.arange(30.0, 50).reshape(2, 10)
NAMES = "PF-dataset-WILLOW/car(G)/a.png,PF-dataset-WILLOW/car(G)/b.png"


def semicolons(values):
    return ";".join(map(str, values))


def write_csv(path, *rows):
    path.write_text("\n".join(["header", *rows]), encoding="utf-8")
    return path


@pytest.fixture(params=["PF-WILLOW", "PF-dataset-WILLOW"])
def folder(tmp_path, request):
    for name in "ab":
        write_image(tmp_path / request.param / "car(G)" / f"{name}.png")
    return tmp_path / request.param


@pytest.mark.parametrize(
    "row",
    [
        ",".join([NAMES, "car(G)", *map(semicolons, (*SOURCE, *TARGET))]),
        ",".join([NAMES, *map(str, (*SOURCE.ravel(), *TARGET.ravel()))]),
    ],
    ids=["7 columns", "42 columns"],
)
def test_both_forms_of_the_list(folder, tmp_path, row):
    (pair,) = read_pf_willow(write_csv(tmp_path / "pairs.csv", row), folder)
    np.testing.assert_array_equal(pair.source.points, SOURCE.T - 1)
    np.testing.assert_array_equal(pair.target.points, TARGET.T - 1)
    assert pair.class_name == "car(G)"
    assert pair.target.path == folder / "car(G)" / "b.png"
    assert pair.visible.sum() == 10
    assert pair.source.box is None


def test_wrong_rows_and_missing_images(folder, tmp_path):
    nine = write_csv(tmp_path / "nine.csv", ",".join([NAMES, *map(str, range(36))]))
    with pytest.raises(ValueError, match=r"row 2 of .* 10 key points for each \(7 or 42 columns\)"):
        read_pf_willow(nine, folder)
    with pytest.raises(FileNotFoundError, match=r"none\.csv'.*PF-WILLOW is at"):
        read_pf_willow(tmp_path / "none.csv", folder)
    row = ",".join([NAMES, *map(str, range(40))])
    (folder / "car(G)" / "a.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"a\.png', but it is not there\. PF-WILLOW is at"):
        read_pf_willow(write_csv(tmp_path / "pairs.csv", row), folder)


def test_the_whole_set(discobox_data):
    folder = discobox_data / "pf_willow"
    if not folder.is_dir():
        pytest.skip(f"'{folder}' is not there")
    pairs = read_pf_willow(folder / "test_pairs.csv", folder)
    assert len(pairs) == 900
    assert {int(pair.visible.sum()) for pair in pairs} == {10}
    classes = [pair.class_name for pair in pairs]
    assert {name: classes.count(name) for name in classes} == dict.fromkeys(classes, 90)
    assert len(set(classes)) == 10
    assert len({pair.pair_id for pair in pairs}) == 900
    for image in {pair.source.path: pair.source for pair in pairs}.values():
        annotated = loadmat(image.path.with_suffix(".mat"))["pts_coord"].T - 1
        np.testing.assert_allclose(image.points, annotated, atol=1e-3)
        assert (image.points <= image.size).all()
