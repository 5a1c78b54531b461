"""The shape check that every public function opens with."""

from __future__ import annotations

import pytest
import torch

from mmdet_discobox.functional import check_shapes


def test_axis_names_are_shared_between_tensors():
    check_shapes(a=(torch.zeros(2, 3), "N H"), b=(torch.zeros(3, 2, 4), "H N 4"))
    check_shapes(a=(torch.zeros(0, 4), "N 4"), b=(torch.zeros(0), "N"))
    check_shapes(a=(torch.zeros(()), ""))


@pytest.mark.parametrize(
    ("shape", "pattern", "message"),
    [
        ((2, 3), "N", r"Expected `a` of shape \(N\) but got \(2, 3\)\."),
        ((2,), "N 4", r"Expected `a` of shape \(N, 4\) but got \(2,\)\."),
        ((2, 3), "N 4", r"Expected `a` of shape \(N, 4\) with 4 = 4 but got \(2, 3\)\."),
        ((2, 3), "S S", r"Expected `a` of shape \(S, S\) with S = 2 but got \(2, 3\)\."),
    ],
)
def test_wrong_shapes_are_named(shape, pattern, message):
    with pytest.raises(ValueError, match=message):
        check_shapes(a=(torch.zeros(shape), pattern))


def test_the_error_names_the_tensor_that_disagrees():
    with pytest.raises(ValueError, match=r"Expected `b` .* with N = 2 but got \(3,\)"):
        check_shapes(a=(torch.zeros(2), "N"), b=(torch.zeros(3), "N"))
