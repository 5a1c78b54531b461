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


def test_a_fraction_is_a_fraction():
    with pytest.raises(ValueError, match=r"in \[0, 1\] but got 25"):
        StartCondition(fraction=25)
