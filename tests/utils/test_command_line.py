"""Exit status and error messages of commands."""

from __future__ import annotations

import errno
import os
import warnings
from pathlib import Path

import pytest

from mmdet_discobox.utils.command_line import prepare_result, run


@pytest.mark.parametrize("status", [None, 0, 1])
def test_exits_with_the_status_of_the_command(status):
    with pytest.raises(SystemExit) as ending:
        run(lambda: status)
    assert ending.value.code == status


@pytest.mark.parametrize("kind", [ValueError, TypeError, ImportError, FileNotFoundError])
def test_invalid_input_is_reported_without_a_traceback(kind):
    def fail():
        raise kind("Expected a file.")

    with pytest.raises(SystemExit) as ending:
        run(fail)
    assert ending.value.code == "error: Expected a file."


def test_a_full_disk_is_reported_with_what_to_do():
    def fail():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(SystemExit) as ending:
        run(fail)
    assert "No space left on device. The output could not be written whole: make room" in str(
        ending.value.code
    )


def test_an_interruption_is_reported_without_a_traceback(capsys):
    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as ending:
        run(interrupt, interrupted="Run it again.")
    assert ending.value.code == 130
    assert capsys.readouterr().err == "Run it again.\n"


def test_other_exceptions_keep_their_traceback():
    with pytest.raises(ZeroDivisionError):
        run(lambda: 1 // 0)


def test_the_warning_about_pkg_resources_is_hidden_and_no_other():
    def warn():
        warnings.warn("pkg_resources is deprecated as an API. See https://...", stacklevel=1)
        warnings.warn("Deprecated call to `pkg_resources.declare_namespace('x')`.", stacklevel=1)
        warnings.warn("another", stacklevel=1)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(SystemExit):
            run(warn)
    assert [str(warning.message) for warning in caught] == ["another"]


def test_the_folder_of_a_result_exists_before_it_is_computed(tmp_path):
    prepare_result(tmp_path / "new" / "folder" / "result.json", "--out")
    assert list((tmp_path / "new" / "folder").iterdir()) == []


def test_a_result_is_no_folder_and_lies_in_none_that_cannot_be_written(tmp_path, monkeypatch):
    with pytest.raises(IsADirectoryError, match="Expected --out to name a file, but '.*' is a"):
        prepare_result(tmp_path, "--out")
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        prepare_result(tmp_path / "file" / "result.json", "--out")
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(PermissionError, match="Expected --out in a folder that can be written to"):
        prepare_result(tmp_path / "result.json", "--out")


def test_a_device_is_a_result_in_a_folder_that_cannot_be_written_to(monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    prepare_result(Path(os.devnull), "--out")
