from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from multi_object_pairs import pairwise_angles, rotations_from_viewpoints


def random_angles(count, seed=0):
    return np.random.default_rng(seed).uniform(-180, 180, (3, count))


def test_is_the_product_of_three_rotations():
    azimuth, elevation, theta = random_angles(20)
    expected = (
        Rotation.from_euler("z", theta, degrees=True)
        * Rotation.from_euler("x", elevation - 90, degrees=True)
        * Rotation.from_euler("z", -azimuth, degrees=True)
    )
    found = rotations_from_viewpoints(azimuth, elevation, theta)
    np.testing.assert_allclose(found, expected.as_matrix(), atol=1e-12)


def test_the_angle_is_that_of_the_rotation_between():
    one = rotations_from_viewpoints(*random_angles(7, 1))
    two = rotations_from_viewpoints(*random_angles(5, 2))
    angles = pairwise_angles(one, two)
    for i, j in np.ndindex(7, 5):
        between = Rotation.from_matrix(one[i].T @ two[j])
        assert angles[i, j] == pytest.approx(np.degrees(between.magnitude()), abs=1e-6)


def test_a_turn_around_the_upright_axis_is_the_difference_of_azimuths():
    turned = rotations_from_viewpoints([10.0, 350.0, 100.0], [20.0] * 3, [5.0] * 3)
    expected = [[0, 20, 90], [20, 0, 110], [90, 110, 0]]
    np.testing.assert_allclose(pairwise_angles(turned, turned), expected, atol=1e-5)


def test_seen_from_above_azimuth_and_roll_are_one():
    one = rotations_from_viewpoints(0.0, 90.0, 0.0)
    two = rotations_from_viewpoints(80.0, 90.0, 80.0)
    assert pairwise_angles(one[None], two[None])[0, 0] == pytest.approx(0, abs=1e-5)


def test_an_unknown_orientation_has_no_angle():
    known = np.eye(3)[None]
    assert np.isnan(pairwise_angles(known, np.full((1, 3, 3), np.nan))).all()
