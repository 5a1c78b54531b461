"""Outputs of all formats are written in one piece and replace no other files."""

from __future__ import annotations

import json

import pytest
from labelled_sets import annotated, disc, labelled_set

from mmdet_discobox.labelling.formats import FORMATS, check_output, write_masks


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
