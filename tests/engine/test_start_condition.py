from __future__ import annotations

from types import SimpleNamespace

import pytest

from mmdet_discobox.engine.hooks import StartCondition

RUNNER = SimpleNamespace(max_iters=200)


@pytest.mark.parametrize(
    ("condition", "before", "after"),
    [
        (StartCondition(iteration=5), (4, 0.0), (5, 9.0)),
        (StartCondition(fraction=0.25), (49, 0.0), (50, 9.0)),
        (StartCondition(mil_below=0.3), (199, 0.3), (0, 0.29)),
        (StartCondition(iteration=5, mil_below=0.3), (4, 0.5), (1, 0.1)),
        (StartCondition(fraction=0.0), None, (0, float("inf"))),
    ],
)
def test_the_first_condition_that_holds_starts(condition, before, after):
    if before is not None:
        assert condition.reason(RUNNER, *before) is None
    assert condition.reason(RUNNER, *after)


def test_no_condition_is_an_error():
    with pytest.raises(ValueError, match="Expected one of `iteration`, `fraction` and `mil_below`"):
        StartCondition()


@pytest.mark.parametrize(
    ("name", "wrong", "interval"),
    [
        ("fraction", 25, r"\[0, 1\]"),
        ("iteration", -3, r"\[0, inf\)"),
        ("mil_below", -1.0, r"\[0, inf\]"),
    ],
)
def test_a_value_out_of_range_is_an_error(name, wrong, interval):
    with pytest.raises(ValueError, match=f"Expected `{name}` to be in {interval} but got {wrong}"):
        StartCondition(**{name: wrong})
