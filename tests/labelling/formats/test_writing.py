"""Outputs of all formats are written in one piece and replace no other files."""

from __future__ import annotations

import json

import pytest
from labelled_sets import annotated, disc, labelled_set

from mmdet_discobox.labelling.formats import FORMATS, check_images, check_output, write_masks


def test_coco_is_the_data_set_itself(tmp_path):
    dataset = labelled_set([annotated(disc(30, 40, 5))])
    for _ in range(2):  # a json is replaced
        assert write_masks("coco", tmp_path / "new" / "out.json", dataset) == []
    assert json.loads((tmp_path / "new" / "out.json").read_text()) == dataset


@pytest.mark.parametrize("file_format", FORMATS)
def test_other_files_are_not_replaced(tmp_path, file_format):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a.txt").write_text("mine")
    with pytest.raises(ValueError, match="Expected .*full"):
        check_output(file_format, tmp_path / "full")
    if file_format != "coco":
        (tmp_path / "empty").mkdir()
        write_masks(file_format, tmp_path / "empty", labelled_set([]))
        with pytest.raises(ValueError, match="a new or empty folder .* or delete this one"):
            check_output(file_format, tmp_path / "empty")
        with pytest.raises(ValueError, match="a new or empty folder"):
            check_output(file_format, tmp_path / "full" / "a.txt")


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_failure_leaves_nothing(tmp_path, file_format, monkeypatch):
    dataset = labelled_set([annotated(disc(30, 40, 5)), annotated(disc(30, 40, 5))])
    dataset["annotations"][1]["segmentation"] = {"counts": {1, 2}}
    with pytest.raises((TypeError, KeyError, ValueError)):
        write_masks(file_format, tmp_path / "out", dataset)
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_without_links_is_named(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("no links here")

    monkeypatch.setattr("pathlib.Path.symlink_to", refuse)
    (tmp_path / "a.jpg").touch()
    with pytest.raises(ValueError, match=r"no links here\. Write to a file system"):
        write_masks("yolo-seg", tmp_path / "out", labelled_set([]), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.jpg"]


@pytest.mark.parametrize("file_format", ["yolo-seg", "voc-png"])
@pytest.mark.parametrize("name", ["a\nb.png", "a\u2028b.png", "a.png\r"])
def test_names_of_images_fit_in_a_line(file_format, name):
    with pytest.raises(ValueError, match="names without a line break .* got the image "):
        check_images(file_format, labelled_set([], [name]))


@pytest.mark.parametrize(
    ("name", "message"),
    [("a\nb", "line break .* got the class"), ("background", "no class 'background'")],
)
def test_names_of_classes_that_a_list_of_lines_cannot_hold(name, message):
    dataset = labelled_set([])
    dataset["categories"][0]["name"] = name
    with pytest.raises(ValueError, match=message):
        check_images("voc-png", dataset)
    check_images("yolo-seg", dataset)  # a yaml holds any name
