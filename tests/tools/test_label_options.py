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
