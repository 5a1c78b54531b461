from __future__ import annotations

from types import SimpleNamespace

import pytest

from mmdet_discobox.engine.hooks import Opening

RUNNER = SimpleNamespace(max_iters=200)


@pytest.mark.parametrize(
    ("opening", "shut", "opened"),
    [
        (Opening(iteration=5), (4, 0.0), (5, 9.0)),
        (Opening(fraction=0.25), (49, 0.0), (50, 9.0)),
        (Opening(mil_below=0.3), (199, 0.3), (0, 0.29)),
        (Opening(iteration=5, mil_below=0.3), (4, 0.5), (1, 0.1)),
        (Opening(fraction=0.0), None, (0, float("inf"))),
    ],
)
def test_the_first_condition_that_holds_opens(opening, shut, opened):
    if shut is not None:
        assert opening.reason(RUNNER, *shut) is None
    assert opening.reason(RUNNER, *opened)


def test_no_condition_is_an_error():
    with pytest.raises(ValueError, match="Expected one of `iteration`, `fraction` and `mil_below`"):
        Opening()


def test_a_fraction_is_a_fraction():
    with pytest.raises(ValueError, match=r"in \[0, 1\] but got 25"):
        Opening(fraction=25)
