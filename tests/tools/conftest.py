"""The command `autolabel.py`, run in this process."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / "tools" / "autolabel.py"


@pytest.fixture
def autolabel(capsys):
    """Runs the command, checks its exit status and returns what it printed."""

    def run(*arguments, status=0):
        spec = importlib.util.spec_from_file_location("autolabel", TOOL)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        assert module.main([str(argument) for argument in arguments]) == status
        return "".join(capsys.readouterr())

    return run
