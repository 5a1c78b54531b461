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


@pytest.mark.parametrize(
    ("options", "path", "given"),
    [
        (("--accepted", "ids.json", "--report", "page"), "IMG_DIR", "--report"),
        (("--accepted", "ids.json", "--truth", "t.json"), "IMG_DIR", "--truth"),
        (("--corrected", "c.json", "--polygons"), "IMG_DIR", "--polygons"),
        (("--accepted", "ids.json", "--teacher-only"), "IMG_DIR", "--teacher-only"),
        (("--report", "page", "--truth", "t.json", "--polygons"), "OUT_JSON", "--truth and --poly"),
        (("--report", "page", "--format", "voc-png"), "OUT_JSON", "--format"),
    ],
)
def test_options_without_an_effect_are_refused(autolabel, capsys, options, path, given):
    with pytest.raises(SystemExit):
        autolabel(*options, "a.json", "b.json")
    assert f"error: expected {path} with {given}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--teacher-only",), "expected one of --teacher-only, --fit and --onnx, not several"),
        (("--launcher", "pytorch"), "without --launcher"),
        (("--epochs", 0), "--epochs to be at least 1"),
        (("--crop-size", 100), "--crop-size to be a multiple of 32"),
    ],
)
def test_options_that_do_not_fit_a_training(autolabel, capsys, options, message):
    with pytest.raises(SystemExit) as stopped:
        autolabel("a.json", "images", "out.json", "--fit", *options)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
