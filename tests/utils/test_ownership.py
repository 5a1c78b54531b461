"""Processes that want to own a folder, and die."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from mmdet_discobox.utils import ownership
from mmdet_discobox.utils.ownership import sole_owner

HOLD = """
import os, sys, time
from pathlib import Path
from mmdet_discobox.utils.ownership import sole_owner
with sole_owner(Path(sys.argv[1])):
    print("owned", flush=True)
    if len(sys.argv) > 2 and not os.fork():
        time.sleep(60)  # a child outlives its parent
    sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "new" / "out.json.unfinished"


@pytest.fixture
def hold(folder):
    """Starts a process that owns the folder until it is ended."""
    started = []

    def start(*arguments):
        command = [sys.executable, "-c", HOLD, str(folder), *arguments]
        pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(subprocess.Popen(command, start_new_session=True, **pipes))
        assert started[-1].stdout.readline() == "owned\n"
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_nothing_is_left(folder):
    with sole_owner(folder), sole_owner(folder):
        assert os.listdir(folder) == [ownership._NAME]
    assert not folder.exists()
    with sole_owner(folder):
        (folder / "work").touch()
    assert os.listdir(folder) == ["work"]
    with pytest.raises(ZeroDivisionError), sole_owner(folder):
        raise ZeroDivisionError
    assert os.listdir(folder) == ["work"]


def test_a_second_run_is_refused_and_told_by_whom(folder, hold):
    first = hold()
    told = rf"but process {first.pid} on .* still works on it"
    with pytest.raises(ValueError, match=told), sole_owner(folder):
        pass
    assert os.listdir(folder) == [ownership._NAME]
    first.communicate("")  # it ends
    assert not folder.exists()
    with sole_owner(folder):
        pass


@pytest.mark.parametrize("arguments", [(), ("with a child",)])
def test_a_killed_run_owns_nothing(folder, hold, arguments):
    first = hold(*arguments)
    first.kill()
    first.wait()
    with sole_owner(folder):
        assert os.listdir(folder) == [ownership._NAME]
    assert not folder.exists()


def test_a_run_owns_the_folder_until_its_last_process_ends(folder, hold, monkeypatch):
    with sole_owner(folder):
        lock = folder / ownership._NAME
        script = HOLD.replace(
            "with sole",
            "from mmdet_discobox.utils import ownership\nownership.get_rank = lambda: 1\nwith sole",
        )
        second = subprocess.Popen(
            [sys.executable, "-c", script, str(folder)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert second.stdout.readline() == "owned\n"
    try:  # the first process is gone
        assert lock.exists()
        with pytest.raises(ValueError, match="to belong to no other run"), sole_owner(folder):
            pass
    finally:
        second.communicate("")
    assert not folder.exists()


@pytest.mark.parametrize("moment", ["mkdir", "open"])
def test_a_run_that_ends_meanwhile_may_remove_the_folder(folder, monkeypatch, moment):
    call = getattr(os, moment)

    def remove_first(path, *arguments, **options):
        monkeypatch.setattr(os, moment, call)
        if moment == "open":
            folder.rmdir()
            return call(path, *arguments, **options)
        raise FileExistsError(path)  # and `Path.mkdir` no longer finds the folder

    folder.parent.mkdir()
    monkeypatch.setattr(os, moment, remove_first)
    with sole_owner(folder):
        assert os.listdir(folder) == [ownership._NAME]
    assert not folder.exists()
    folder.touch()
    with pytest.raises(FileExistsError), sole_owner(folder):
        pass


def test_a_file_system_without_locks_is_told(folder, monkeypatch):
    def fail(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(ownership.fcntl, "lockf", fail)
    with pytest.warns(UserWarning, match="Start no second run"), sole_owner(folder):
        pass
