"""Pictures of correspondence: what colours mean, and where lines go."""

from __future__ import annotations

import numpy as np
import pytest

from mmdet_discobox.visualization import DrawnMatch, draw_correspondence
from mmdet_discobox.visualization.correspondence import (
    _line_places,
    carry_colours,
    position_colours,
)


def disc(size=(90, 120), centre=(50, 45), radius=25):
    rows, columns = np.indices(size)
    return (columns - centre[0]) ** 2 + (rows - centre[1]) ** 2 < radius**2


def match_of(shift=(0, 0), images=(0, 1), flip=False):
    """A disc that is carried to the same disc, shifted or mirrored."""
    source = disc()
    target = disc(centre=(50 + shift[0], 45 + shift[1]))
    rows, columns = np.nonzero(source)
    points = np.stack([columns, rows], 1) + 0.5
    ends = points.copy()
    if flip:
        ends[:, 0] = 101 - points[:, 0]
    certainty = np.ones(len(points))
    return DrawnMatch(images, source, target, points, ends + shift, certainty)


def pictures(count=2):
    rng = np.random.default_rng(0)
    return [rng.integers(0, 255, (90, 120, 3), dtype=np.uint8) for _ in range(count)]


def test_places_have_their_own_colours():
    grid = np.stack(np.meshgrid(*[np.linspace(0, 1, 11)] * 2), -1).reshape(-1, 2)
    colours = position_colours(grid)
    assert colours.shape == (121, 3)
    assert ((colours >= 0) & (colours <= 255)).all()
    gaps = np.linalg.norm(colours[:, None] - colours, axis=2) + 1e3 * np.eye(121)
    assert gaps.min() > 8
    far = np.linalg.norm(grid[:, None] - grid, axis=2) > 0.4
    assert gaps[far].min() > 30


def test_colours_are_carried_smoothly():
    points = np.array([[5.5, 5.5], [34.5, 24.5], [-3.0, 4.0], [90.0, 2.0]])
    colours = np.array([[200, 0, 0], [0, 0, 200], [9, 9, 9], [9, 9, 9]], np.float32)
    field = carry_colours(points, colours, (30, 40))
    assert field.shape == (30, 40, 3)
    np.testing.assert_allclose(field[5, 5], [200, 0, 0], atol=1)
    np.testing.assert_allclose(field[24, 34], [0, 0, 200], atol=1)
    assert np.isfinite(field).all()
    np.testing.assert_allclose(field.sum(2), 200, atol=0.1)  # no others, and no holes


def test_a_shifted_object_has_the_shifted_field():
    image = np.full((90, 120, 3), 128, np.uint8)
    match = match_of(shift=(12, 9))
    drawing = draw_correspondence([image, image], [match], lines=0, height=90)
    assert drawing.shape == (90, 2 * 120 + 16, 3)
    left, right = drawing[:, :120].astype(int), drawing[:, 136:].astype(int)
    inner = disc(radius=20)
    moved = np.roll(right, (-9, -12), (0, 1))
    assert np.abs(left - moved)[inner].mean() < 2
    assert np.ptp(left[inner], axis=0).min() > 60  # many colours


def test_a_mirrored_match_has_the_mirrored_field():
    image = np.full((90, 120, 3), 128, np.uint8)
    drawing = draw_correspondence([image, image], [match_of(flip=True)], lines=0, height=90)
    left, right = drawing[:, :101].astype(int), drawing[:, 136 : 136 + 101].astype(int)
    inner = disc(radius=20)[:, :101]
    assert np.abs(left - right[:, ::-1])[inner].mean() < 3
    assert np.abs(left - right)[inner].mean() > 20


def test_lines_join_what_belongs_together():
    match = match_of(shift=(5, 5))
    places = _line_places(match, 6)
    assert len(set(places)) == 6
    chosen = match.source_points[places]
    gaps = np.linalg.norm(chosen[:, None] - chosen, axis=2) + 1e3 * np.eye(6)
    assert gaps.min() > 10
    drawing = draw_correspondence(pictures(), [match], lines=6, height=90)
    without = draw_correspondence(pictures(), [match], lines=0, height=90)
    changed = (drawing != without).any(2)
    assert changed[:, 120:136].sum() >= 6 * 16  # the gap is crossed by each
    for x, y in chosen:
        assert changed[round(y), round(x)]


def test_no_lines_to_outside_the_target():
    match = match_of()
    missing = DrawnMatch(
        (0, 1), match.source_mask, np.zeros_like(match.target_mask),
        match.source_points, match.target_points, match.certainty,
    )  # fmt: skip
    assert _line_places(missing, 5) == []


@pytest.mark.parametrize("count", [1, 3])
def test_images_without_matches_are_left_alone(count):
    images = pictures(count)
    drawing = draw_correspondence(images, [], height=90)
    assert np.array_equal(drawing[:, :120], images[0])
    assert np.array_equal(drawing[:, -120:], images[-1])


def test_two_objects_of_one_image():
    drawing = draw_correspondence(pictures(1), [match_of(shift=(10, 0), images=(0, 0))], height=180)
    assert drawing.shape == (180, 240, 3)
