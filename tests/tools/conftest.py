"""The commands `autolabel.py` and `check_dataset.py`, run in this process."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / "tools"


@pytest.fixture
def autolabel(capsys):
    """Runs the command, checks its exit status and returns what it printed."""

    def run(*arguments, status=0):
        spec = importlib.util.spec_from_file_location("autolabel", TOOLS / "autolabel.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        assert module.main([str(argument) for argument in arguments]) == status
        return "".join(capsys.readouterr())

    return run


@pytest.fixture
def check(capsys):
    """Runs the command, checks its exit status and returns what it printed."""

    def run(*arguments, status=0):
        spec = importlib.util.spec_from_file_location("check_dataset", TOOLS / "check_dataset.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        assert module.main([str(argument) for argument in arguments]) == status
        return "".join(capsys.readouterr())

    return run
