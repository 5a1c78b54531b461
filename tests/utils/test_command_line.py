"""How commands end: with their status, or with one sentence."""

from __future__ import annotations

import pytest

from mmdet_discobox.utils.command_line import run


@pytest.mark.parametrize("status", [None, 0, 1])
def test_the_status_is_that_of_the_command(status):
    with pytest.raises(SystemExit) as ending:
        run(lambda: status)
    assert ending.value.code == status


@pytest.mark.parametrize("kind", [ValueError, TypeError, ImportError, FileNotFoundError])
def test_bad_input_ends_in_its_sentence(kind):
    def fail():
        raise kind("Expected a file.")

    with pytest.raises(SystemExit) as ending:
        run(fail)
    assert ending.value.code == "error: Expected a file."


def test_a_fault_of_the_program_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        run(lambda: 1 // 0)
