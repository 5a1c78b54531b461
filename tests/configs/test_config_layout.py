"""Rules for the text of the shipped configs: few files for a leaf, bases that nobody changes."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from mmengine.config import Config

FOLDER = Path(__file__).parents[2] / "configs"
FILES = sorted(FOLDER.rglob("*.py"))
LEAVES = [path for path in FILES if "_base_" not in path.parts]


def files_read(path):
    """Paths of a config and all its bases, mmdet's included: each heads its part of the text."""
    lines = Config.fromfile(path, import_custom_modules=False).text.splitlines()
    return {line for line in lines if line.endswith(".py") and Path(line).is_file()}


def changes_in_place(code):
    """Lines that assign to a part of an object, index a base or call a method of one."""
    lines = []
    for node in ast.walk(ast.parse(code)):
        targets = node.targets if isinstance(node, ast.Assign) else []
        parts = any(not isinstance(target, ast.Name) for target in targets)
        augmented = isinstance(node, (ast.AugAssign, ast.Delete))
        method = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        indexed = isinstance(node, ast.Subscript) and ast.unparse(node).startswith("_base_")
        if parts or augmented or method or indexed:
            lines.append(node.lineno)
    return lines


@pytest.mark.parametrize("path", LEAVES, ids=lambda path: path.stem)
def test_a_leaf_reads_fewer_than_ten_files(path, monkeypatch):
    monkeypatch.delenv("DISCOBOX_DETECTOR", raising=False)
    found = files_read(path)
    assert str(path) in found
    assert len(found) < 10


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(FOLDER).as_posix())
def test_no_base_is_changed_in_place_or_by_index(path):
    assert changes_in_place(path.read_text()) == []


@pytest.mark.parametrize(
    "line",
    [
        "_base_.model.neck.num_outs = 4",
        "_base_.pipeline[2].scale = (1, 1)",
        "_base_.model.update(type='SOLOv2')",
        "_base_.custom_hooks += []",
        "pipeline = [_base_.pipeline[0]]",
        "del _base_.model.neck",
    ],
)
def test_changes_are_found(line):
    assert changes_in_place(f"_base_ = 'base.py'\n{line}\n") != []
