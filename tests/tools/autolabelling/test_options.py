"""Options of `autolabel.py` that do not go together."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    ("options", "given"),
    [
        (("--corrected", "masks.json"), "--corrected"),
        (("--accepted", "ids.json", "--keep-boxes"), "--keep-boxes"),
    ],
)
def test_a_format_without_boxes_is_refused_by_the_option_that_was_given(
    autolabel, capsys, options, given
):
    with pytest.raises(SystemExit):
        autolabel(*options, "a.json", "out", "--format", "voc-png")
    assert f"error: expected {given} with --format coco" in capsys.readouterr().err


@pytest.mark.parametrize(
    "option",
    [
        ("--accepted", "ids.json"),
        ("--fit",),
        ("--keep-boxes",),
        ("--format", "voc-png"),
        ("--polygons",),
    ],
)
def test_rejected_masks_are_a_step_of_their_own(autolabel, capsys, option):
    with pytest.raises(SystemExit):
        autolabel("--rejected", "ids.json", "a.json", "out.json", *option)
    message = f"error: expected --rejected in a command of its own, without {option[0]}"
    assert message in capsys.readouterr().err
