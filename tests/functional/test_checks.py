"""The checks that public functions and constructors open with."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
import torch

from mmdet_discobox.functional import check_ranges, check_shapes


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


@pytest.mark.parametrize(
    ("interval", "inside", "outside"),
    [
        ("(0, 1]", (1e-9, 1), (0, 1.1)),
        ("[0, 1)", (0, 0.99), (-1e-9, 1)),
        ("[1, inf)", (1, 1e300), (0.5, math.inf)),
        ("(0, inf]", (0.1, math.inf), (0, -math.inf)),
    ],
)
def test_numbers_are_in_the_interval_or_named(interval, inside, outside):
    for value in (*inside, None):
        check_ranges(a=(value, interval))
    for value in (*outside, math.nan):
        message = re.escape(f"Expected `b` to be in {interval} but got {value}.")
        with pytest.raises(ValueError, match=message):
            check_ranges(a=(inside[0], interval), b=(value, interval))


def test_text_is_no_number_and_scalars_of_numpy_and_torch_are():
    check_ranges(a=(np.float32(0.5), "[0, 1]"), b=(torch.tensor(0.5), "[0, 1]"))
    with pytest.raises(TypeError, match=r"Expected `b` to be a number in \[0, 1\] but got '1'"):
        check_ranges(a=(1, "[0, 1]"), b=("1", "[0, 1]"))
