"""The journal of a long piece of work, cut anywhere."""

from __future__ import annotations

from contextlib import closing

import pytest

from mmdet_discobox.datasets.converters.files import Journal, is_file, replacing, write_json

SETTINGS = {"version": 1, "folder": "Bilder für VOC"}
PIECES = {"a": [1, 2], "b": {"name": "ä\n"}, "c": None}


def write(path, names=PIECES, settings=SETTINGS):
    with closing(Journal(path, settings)) as journal:
        for name in names:
            journal.add(name, PIECES[name])


def read(path, settings=SETTINGS):
    with closing(Journal(path, settings)) as journal:
        return journal.done


def test_cut_at_every_byte(tmp_path):
    """What is read is a beginning of what was written, and going on from it gives the same file."""
    write(tmp_path / "whole")
    whole = (tmp_path / "whole").read_bytes()
    for length in range(len(whole) + 1):
        path = tmp_path / "cut"
        path.write_bytes(whole[:length])
        done = read(path)
        assert done == {name: PIECES[name] for name in list(PIECES)[: len(done)]}
        write(path, list(PIECES)[len(done) :])
        assert path.read_bytes() == whole


def test_zeros_after_a_power_cut(tmp_path):
    path = tmp_path / "journal"
    write(path, ["a"])
    with path.open("ab") as file:
        file.write(b"\0" * 64)
    assert read(path) == {"a": PIECES["a"]}


def test_other_settings_start_anew(tmp_path):
    path = tmp_path / "journal"
    write(path)
    assert read(path, {**SETTINGS, "version": 2}) == {}
    assert read(path) == {}


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


def test_a_name_that_no_file_can_have(tmp_path):
    (tmp_path / "a").touch()
    assert is_file(tmp_path / "a")
    assert not any(is_file(tmp_path / name) for name in ("b", ".", "null\0byte", "x" * 5000))
