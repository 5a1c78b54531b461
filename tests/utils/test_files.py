"""Atomic writes of files."""

from __future__ import annotations

import json
import os

import pytest

from mmdet_discobox.utils.files import new_folder, replacing, write_bytes, write_json, write_text


def test_a_json_that_cannot_be_written_leaves_the_old_one(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": {1, 2}})
    assert path.read_text() == '{"a": 1}'
    assert [each.name for each in tmp_path.iterdir()] == ["a.json"]


def test_a_file_that_is_not_finished_leaves_the_old_one(tmp_path):
    path = tmp_path / "a b.npz"
    with replacing(path) as file:
        file.write(b"old")

    def stop_half_way():
        with replacing(path) as file:
            file.write(b"half")
            assert path.read_bytes() == b"old"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop_half_way()
    assert path.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["a b.npz"]


@pytest.mark.parametrize("exists", [True, False])
def test_the_file_behind_a_link_is_replaced(tmp_path, exists):
    real, link, second = tmp_path / "far" / "real.json", tmp_path / "link", tmp_path / "second"
    real.parent.mkdir()
    if exists:
        real.write_text("old")
    link.symlink_to(real)
    second.symlink_to("link")
    write_json(second, {"a": 1})
    assert link.is_symlink()
    assert second.is_symlink()
    assert not real.is_symlink()
    assert real.read_text() == '{"a": 1}'
    assert sorted(each.name for each in tmp_path.rglob("*")) == [
        "far",
        "link",
        "real.json",
        "second",
    ]


def test_writes_and_replaces(tmp_path):
    path = tmp_path / "neu ö"
    for write, content, expected in (
        (write_bytes, b"\0\1", b"\0\1"),
        (write_text, "ä\n", "ä\n".encode()),
        (write_json, {"a": [1]}, b'{"a": [1]}'),
    ):
        write(path, content)
        assert path.read_bytes() == expected
    write_json(path, {"a": [1]}, indent=1)
    assert path.read_text() == json.dumps({"a": [1]}, indent=1)
    assert [each.name for each in tmp_path.iterdir()] == ["neu ö"]


def test_a_folder_appears_when_all_its_files_are_written(tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("new", "empty"):
        with new_folder(tmp_path / name) as folder:
            (folder / "a").write_text("1")
            assert not (tmp_path / name / "a").exists()
        assert (tmp_path / name / "a").read_text() == "1"
    before = sorted(tmp_path.rglob("*"))

    def fail(name):
        with new_folder(tmp_path / name) as folder:
            (folder / "a").write_text("2")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail("other")
    with pytest.raises(OSError, match="new"), new_folder(tmp_path / "new"):
        pass  # not empty
    assert sorted(tmp_path.rglob("*")) == before


def test_a_device_or_pipe_is_written_to_and_not_replaced(tmp_path):
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    for path in (pipe, link):
        write_bytes(path, b"content")
        assert os.read(reader, 100) == b"content"
    os.close(reader)
    assert pipe.is_fifo()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["link", "pipe"]


@pytest.mark.parametrize("name", ["a" * 255, "ä" * 127])
def test_a_name_may_be_as_long_as_the_file_system_allows(tmp_path, name):
    write_bytes(tmp_path / name, b"1")
    with new_folder(tmp_path / "folder" / name) as folder:
        (folder / "a").write_text("2")
    assert (tmp_path / name).read_bytes() == b"1"
    assert (tmp_path / "folder" / name / "a").read_text() == "2"


def test_a_folder_replaces_what_a_killed_write_has_left(tmp_path):
    left = tmp_path / "masks.writing.part"
    left.mkdir()
    (left / "old.png").touch()
    with new_folder(tmp_path / "masks") as folder:
        (folder / "new.png").touch()
    assert [path.name for path in tmp_path.iterdir()] == ["masks"]
    assert [path.name for path in (tmp_path / "masks").iterdir()] == ["new.png"]
