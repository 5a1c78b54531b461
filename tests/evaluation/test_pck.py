from __future__ import annotations

import math

import numpy as np
import pytest

from mmdet_discobox.evaluation.pck import (
    correct_points,
    pck,
    reference_length,
    resize_factors,
    transfer_errors,
)

WIDE = (500, 375)


def correct_at(offset, resize):
    factors = resize_factors(resize, WIDE)
    errors = transfer_errors(
        [[10.0 + offset[0], 20.0 + offset[1]]], [[10.0, 20.0]], factors=factors
    )
    length = reference_length("img", size=WIDE)
    return bool(correct_points(errors, length=length, alphas=[0.1])[0, 0])


@pytest.mark.parametrize(
    ("offset", "isotropic", "square"),
    [
        ((50, 0), True, True),
        ((50.1, 0), False, False),
        ((0, 37.4), True, True),
        ((0, 37.6), True, False),
        ((0, 50), True, False),
        ((30, 29.9), True, True),  # in the square 30 and 29.9 * 500 / 375 = 39.9: just below 50
        ((30, 30.1), True, False),  # 30 and 40.1: just above
        ((0, 50.1), False, False),
    ],
)
def test_squashing_narrows_the_tolerance_along_the_short_side(offset, isotropic, square):
    assert correct_at(offset, "isotropic") is isotropic
    assert correct_at(offset, "square") is square


def test_pck_is_the_fraction_of_visible_points_within_the_threshold():
    target = np.zeros((5, 2))
    predicted = [[3, 4], [6, 8], [0, 5.1], [0, 0], [math.nan, 0]]
    visible = [True, True, True, False, True]
    # Distances 5, 10, 5.1, 0 (not counted), none; threshold 0.05 * 100 = 5.
    assert pck(predicted, target, visible, length=100, alpha=0.05) == 1 / 4
    assert pck(predicted, target, visible, length=100, alpha=0.05, strict=True) == 0
    assert pck(predicted, target, visible, length=100, alpha=0.1) == 3 / 4
    assert math.isnan(pck(predicted, target, [False] * 5, length=100, alpha=0.1))


@pytest.mark.parametrize(
    ("kind", "isotropic", "square"),
    [
        ("img", 500, 500),
        ("bbox", 60, 80),  # 50 x 60, of which the height is stretched by 4 / 3
        ("keypoints", 45, 48),  # 45 x 36
    ],
)
def test_lengths(kind, isotropic, square):
    measured = dict(size=WIDE, box=[10, 20, 60, 80], points=[[0, 40], [45, 4], [3, 30]])
    for resize, expected in (("isotropic", isotropic), ("square", square)):
        length = reference_length(kind, **measured, factors=resize_factors(resize, WIDE))
        assert length == pytest.approx(expected, rel=1e-15)


def test_no_points_have_no_extent():
    assert reference_length("keypoints", points=np.zeros((0, 2))) == 0


def test_wrong_shapes():
    with pytest.raises(ValueError, match=r"same shape \(K, 2\), but got \(3, 2\) and \(2, 2\)"):
        transfer_errors(np.zeros((3, 2)), np.zeros((2, 2)))
    with pytest.raises(ValueError, match=r"same shape \(K, 2\)"):
        transfer_errors(np.zeros((2, 3)), np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"`visible` of shape \(3,\), but got \(2,\)"):
        pck(np.zeros((3, 2)), np.zeros((3, 2)), [True, True], length=1, alpha=1)


def test_a_length_needs_its_argument():
    with pytest.raises(ValueError, match="measured by length='bbox', but got None"):
        reference_length("bbox", size=WIDE)
    with pytest.raises(ValueError, match="Expected `size` of the image"):
        resize_factors("square", None)
