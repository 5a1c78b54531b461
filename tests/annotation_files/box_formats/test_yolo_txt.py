from __future__ import annotations

from unicodedata import normalize

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmdet_discobox.annotation_files.box_formats import read_boxes, read_yolo_txt, yolo_txt
from mmdet_discobox.annotation_files.coco_validation import check_coco_boxes


@pytest.fixture
def folders(tmp_path):
    labels, images = tmp_path / "set" / "labels", tmp_path / "set" / "images"
    labels.mkdir(parents=True)
    images.mkdir()
    image = cv2.imencode(".png", np.zeros((32, 48, 3), np.uint8))[1]
    (images / "图.png").write_bytes(image.tobytes())
    return labels, images


def test_boxes_are_fractions_of_the_image(folders):
    labels, images = folders
    (labels / "图.txt").write_text("1 0.5 0.5 1 1\n\n0 0.25 0.5 0.25 0.5 0.9\n", encoding="utf-8")
    (labels / "classes.txt").write_text("hund\nÄpfel\n", encoding="utf-8")
    dataset = read_boxes(labels, images)
    first, second = dataset["annotations"]
    assert first["bbox"] == [0, 0, 48, 32]
    assert second["bbox"] == [6, 8, 12, 16]
    assert (second["score"], second["line"], second["label_file"]) == (0.9, 3, "图.txt")
    assert [c["name"] for c in dataset["categories"]] == ["hund", "Äpfel"]
    assert [a["category_id"] for a in dataset["annotations"]] == [1, 0]
    assert [i["file_name"] for i in dataset["images"]] == ["图.png"]


@pytest.mark.parametrize("names", ["[one, two]", "{1: two, 0: one}"])
def test_names_come_from_the_yaml_above(folders, names):
    labels, images = folders
    (labels / "图.txt").write_text("1 0.5 0.5 1 1")
    (labels.parent / "data.yaml").write_text(f"train: images\nnames: {names}\n")
    assert [c["name"] for c in read_boxes(labels, images)["categories"]] == ["one", "two"]


def test_an_empty_line_among_the_names_is_refused(folders):
    """Tools that count it have other numbers for the classes after it."""
    labels, images = folders
    (labels / "图.txt").write_text("1 0.5 0.5 1 1")
    (labels / "classes.txt").write_text("one\r\ntwo\r\n\r\n")
    assert [c["name"] for c in read_boxes(labels, images)["categories"]] == ["one", "two"]
    (labels / "classes.txt").write_text("one\n\nthree\n")
    with pytest.raises(ValueError, match=r"each line of '.*classes.txt', but line 2 is empty"):
        read_boxes(labels, images)


def test_class_names_default_to_numbers(folders):
    labels, images = folders
    (labels / "图.txt").write_text("2 0.5 0.5 1 1")
    assert [c["name"] for c in read_boxes(labels, images)["categories"]] == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 0.1 0.1 0.2 0.1 0.2 0.3 0.4", "line 1 of .* Export boxes, not polygons"),
        ("cat 0.5 0.5 1 1", "line 1 of .* but got 'cat"),
        ("0 0.5 0.5 nan 1", "to be `class x y width height`"),
        ("7 0.5 0.5 1 1", r"class numbers below 2, .* but got 7"),
        ("0 0.5 0.5 -1 1", "no negative width"),
        ("0 214 41 348 244", "line 1 of .* to have fractions .* Divide pixels by"),
    ],
)
def test_invalid_files_are_refused(folders, line, message):
    labels, images = folders
    (labels / "图.txt").write_text(line)
    (labels / "classes.txt").write_text("one\ntwo\n")
    with pytest.raises(ValueError, match=message):
        read_boxes(labels, images)


def test_folders_without_boxes_or_images_are_refused(folders):
    with pytest.raises(ValueError, match="Pascal VOC xml files or YOLO txt files"):
        read_boxes(*folders)
    with pytest.raises(FileNotFoundError, match="Expected a folder of images"):
        read_boxes(folders[0], folders[1] / "gone")


number = st.floats(-2, 2).map(str) | st.sampled_from(["0", "1", "3", "nan", "inf", "1e9", "x"])
line = st.lists(number, max_size=7).map(" ".join)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(line, max_size=3).map(lambda lines: "\n".join(lines).encode()) | st.binary())
def test_any_file_is_read_or_refused(folders, content):
    labels, images = folders
    (labels / "图.txt").write_bytes(content)
    try:
        dataset = read_boxes(labels, images)
    except ValueError as error:
        refusal = str(error)
    else:
        check_coco_boxes(dataset, name="the result")
        return
    assert "图.txt" in refusal or str(labels) in refusal


BOMBS = {
    "aliases": "a: &a [x, x]\n"
    + "".join(f"{n}: &{n} [{p},{p},{p},{p}]\n".replace("[", "[*").replace(",", ",*")
              for p, n in zip("abcdefghijklm", "bcdefghijklmn", strict=True))
    + "names: *n\n",
    "nested": "names: " + "[" * 5000 + "]" * 5000,
    "lists": "names: [[a], [b]]",
    "mixed keys": "names: {0: a, x: b}",
}  # fmt: skip


@pytest.mark.parametrize("kind", BOMBS)
def test_hostile_names_are_refused(folders, kind):
    """The aliases would stand for 2 * 4 ** 13 names."""
    labels, images = folders
    (labels / "图.txt").write_text("0 0.5 0.5 1 1")
    (labels.parent / "data.yaml").write_text(BOMBS[kind])
    with pytest.raises(ValueError, match=r"data\.yaml"):
        read_boxes(labels, images)


@pytest.mark.parametrize("other", ["README.roboflow.txt", "train.txt"])
def test_the_wrong_folder_of_an_export_is_named(folders, other):
    labels, images = folders
    (labels / "图.txt").write_text("0 0.5 0.5 1 1")
    (labels.parent / other).write_text("images/图.png\nimages/b.png\n")
    with pytest.raises(ValueError, match=r"found none\. Pass a folder with labels.*set/labels'"):
        read_boxes(labels.parent, images)
    (labels.parent / other).unlink()
    with pytest.raises(ValueError, match=r"Such files are in '.*set/labels': pass"):
        read_boxes(labels.parent, images)


def test_made_up_names_are_reported(folders, monkeypatch):
    labels, images = folders
    lines = []
    monkeypatch.setattr(yolo_txt, "print_log", lambda text, **_: lines.append(text))
    (labels / "图.txt").write_text("1 0.5 0.5 0.2 0.2")
    read_yolo_txt(labels, images)
    assert "has no names of classes: the boxes get '0', '1'" in lines[0]
    assert f"to '{labels / 'classes.txt'}'" in lines[0]
    (labels / "classes.txt").write_text("one\ntwo\n")
    read_yolo_txt(labels, images)
    assert len(lines) == 1


def test_images_without_a_label_file_are_reported(folders, monkeypatch):
    labels, images = folders
    lines = []
    monkeypatch.setattr(yolo_txt, "print_log", lambda text, **_: lines.append(text))
    (labels / "classes.txt").write_text("one\n")
    (labels / "图.txt").write_text("0 0.5 0.5 0.2 0.2")
    (images / "empty.png").write_bytes((images / "图.png").read_bytes())
    assert len(read_yolo_txt(labels, images)["images"]) == 1
    assert lines[0].startswith(f"1 of the images in '{images}' has no label file: left out")
    (labels / "empty.txt").touch()
    assert len(read_yolo_txt(labels, images)["images"]) == 2
    assert len(lines) == 1


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_notes_in_any_encoding_are_no_labels(folders, encoding):
    labels, images = folders
    (labels / "图.txt").write_text("0 0.5 0.5 1 1")
    (labels / "notes.txt").write_text("für später", encoding=encoding)
    assert [i["label_file"] for i in read_boxes(labels, images)["images"]] == ["图.txt"]
    (labels / "图.txt").write_text("0 0.5 0.5 1 1", encoding="utf-16")  # the labels of an image
    with pytest.raises(ValueError, match=r"Expected '.*图.txt' to be UTF-8 text"):
        read_boxes(labels, images)


def test_two_files_of_one_image_are_refused(folders):
    """The names may differ in case of the suffix, or in Unicode letters that look alike."""
    labels, images = folders
    (images / "图.png").rename(images / "é.png")
    composed, decomposed = (f"{normalize(form, 'é')}.txt" for form in ("NFC", "NFD"))
    for name in (composed, decomposed):
        (labels / name).write_text("0 0.5 0.5 1 1")
    with pytest.raises(ValueError, match=r"'e\\u0301.txt' and '\\xe9.txt' are both of 'é.png'"):
        read_boxes(labels, images)
    (labels / decomposed).rename(labels / "é.TXT")
    with pytest.raises(ValueError, match="Expected one txt file for each image"):
        read_boxes(labels, images)
