"""Checks that files and folders exist."""

from __future__ import annotations

import pytest

from mmdet_discobox.utils.paths import is_file, require_files, require_paths


def test_a_name_that_no_file_can_have(tmp_path):
    (tmp_path / "a").touch()
    assert is_file(tmp_path / "a")
    assert not any(is_file(tmp_path / name) for name in ("b", ".", "null\0byte", "x" * 5000))


def test_missing_files_are_counted_and_their_source_is_named(tmp_path):
    (tmp_path / "a").touch()
    require_paths([tmp_path, tmp_path / "a"], source="Ask Ada.")
    require_files(tmp_path, ["a"], source="Ask Ada.")
    with pytest.raises(FileNotFoundError, match=r"b' and 1 more, but it is not there. Ask Ada\."):
        require_files(tmp_path, ["a", "b", "c"], source="Ask Ada.")
    with pytest.raises(FileNotFoundError, match=r"none', but it is not there. Ask Ada\."):
        require_files(tmp_path / "none", ["a"], source="Ask Ada.")
