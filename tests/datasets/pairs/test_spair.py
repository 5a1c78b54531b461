from __future__ import annotations

import json

import pytest
from image_files import write_image

from mmdet_discobox.datasets.pairs import read_spair

NAME = "000001-first-second:cat"
CONTENT = {
    "category": "cat",
    "src_imname": "first.jpg",
    "trg_imname": "second.jpg",
    "src_imsize": [50, 40, 3],
    "trg_imsize": [30, 60, 3],
    "src_kps": [[1, 2], [3, 4]],
    "trg_kps": [[5, 6], [7, 8]],
    "src_bndbox": [0, 0, 49, 39],
    "trg_bndbox": [2, 3, 20, 50],
}


def write_set(root, content=CONTENT):
    write_image(root / "JPEGImages" / "cat" / "first.jpg", (50, 40))
    write_image(root / "JPEGImages" / "cat" / "second.jpg", (30, 60))
    for path, text in [
        (root / "Layout" / "large" / "test.txt", f"{NAME}\n"),
        (root / "PairAnnotation" / "test" / f"{NAME}.json", json.dumps(content)),
    ]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def test_read_a_pair(tmp_path):
    (pair,) = read_spair(write_set(tmp_path))
    assert (pair.pair_id, pair.class_name) == (NAME, "cat")
    assert pair.source.points.tolist() == [[1, 2], [3, 4]]
    assert pair.target.points.tolist() == [[5, 6], [7, 8]]
    assert pair.target.box.tolist() == [2, 3, 20, 50]
    assert (pair.source.size, pair.target.size) == ((50, 40), (30, 60))
    assert pair.visible.all()


def test_missing_files_are_named_with_their_origin(tmp_path):
    write_set(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"small.test\.txt'.*SPair-71k is at"):
        read_spair(tmp_path, layout="small")
    (tmp_path / "JPEGImages" / "cat" / "second.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"second\.jpg', but it is not there\. SPair-71k"):
        read_spair(tmp_path)
    (tmp_path / "PairAnnotation" / "test" / f"{NAME}.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"cat\.json', but it is not there\. SPair-71k"):
        read_spair(tmp_path)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"category": None}, "to have `category`"),
        ({"src_kps": [[1, 2, 3]]}, r"`points` of shape \(K, 2\)"),
        ({"src_kps": [[1, 2]]}, "as many source as target key points"),
        ({"trg_bndbox": [1, 2]}, r"\(x1, y1, x2, y2\)"),
    ],
)
def test_wrong_annotations(tmp_path, change, match):
    with pytest.raises(ValueError, match=match):
        read_spair(write_set(tmp_path, {**CONTENT, **change}))


def test_a_missing_key(tmp_path):
    content = {key: value for key, value in CONTENT.items() if key != "trg_kps"}
    with pytest.raises(ValueError, match="`_kps`.* but got KeyError"):
        read_spair(write_set(tmp_path, content))
