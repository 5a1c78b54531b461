"""The journal of a long run, cut anywhere."""

from __future__ import annotations

from contextlib import closing

from mmdet_discobox.utils.journal import Journal

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
