from __future__ import annotations

import cv2
import numpy as np
import pytest

from scenes import CLASSES, KEYPOINTS, render_scene
from scenes.curves import ellipse, point, polygon, rotate, smooth, stroke
from scenes.painting import Window, coverage
from scenes.shape import Part, Shape
from scenes.shapes import SHAPES


@pytest.fixture(scope="module")
def scenes():
    return [render_scene(np.random.default_rng([11, index]), 192) for index in range(60)]


@pytest.fixture(scope="module")
def objects(scenes):
    return [item for scene in scenes for item in scene.objects]


def iou(first, second):
    return (first & second).sum() / max((first | second).sum(), 1)


def crop(array, item):
    x1, y1, x2, y2 = item.box.astype(int)
    return np.ascontiguousarray(array[y1:y2, x1:x2])


# Curves and coverage


def test_spline_passes_through_its_vertices():
    vertices = polygon((0, 0), (1, 2), (3, 1), (2, -1))
    np.testing.assert_allclose(smooth(vertices, num=5)[::5], vertices, atol=1e-12)
    np.testing.assert_allclose(smooth(vertices, closed=True, num=5)[::5], vertices, atol=1e-12)


def test_spline_through_a_straight_line_is_the_line():
    curve = smooth(polygon((0, 0), (1, 2), (2, 4)))
    np.testing.assert_allclose(curve[:, 1], 2 * curve[:, 0], atol=1e-12)


def test_stroke_of_a_segment_is_a_rectangle():
    expected = polygon((0, 1), (4, 1), (4, -1), (0, -1))
    np.testing.assert_allclose(stroke(polygon((0, 0), (4, 0)), 2), expected, atol=1e-9)


def test_rotation_is_clockwise_on_the_screen():
    np.testing.assert_allclose(rotate(point(2, 1), 90, (1, 1)), (1, 2), atol=1e-12)


@pytest.mark.parametrize("center", [(20.0, 20.0), (20.37, 19.81)])
def test_coverage_has_the_area_and_centroid_of_a_disc(center):
    alpha = coverage([ellipse(center, 12, num=400)], Window(0, 0, 40, 40))
    rows, columns = np.mgrid[:40, :40] + 0.5
    assert alpha.sum() == pytest.approx(np.pi * 12**2, rel=0.03)
    centroid = ((alpha * columns).sum() / alpha.sum(), (alpha * rows).sum() / alpha.sum())
    np.testing.assert_allclose(centroid, center, atol=0.1)


def test_coverage_of_a_window_is_a_crop_of_the_whole():
    outlines = [ellipse((20, 20), (15, 7)), polygon((3, 3), (30, 5), (12, 31))]
    whole = coverage(outlines, Window(0, 0, 40, 40))
    part = coverage(outlines, Window(8, 5, 27, 33))
    # Where OpenCV clips an edge it rounds anew: up to two of the sixteen samples may change.
    np.testing.assert_allclose(part, whole[5:33, 8:27], atol=2.1 / 16)


def test_warp_is_a_projective_map():
    homography = np.array([[2, 0, 1], [0, 3, 0], [0.5, 0, 1]])
    shape = Shape((Part("body", polygon((2, 1), (0, 0), (0, 1))),), {"corner": point(2, 1)})
    warped = shape.warp(homography)
    np.testing.assert_allclose(warped.keypoints["corner"], (5 / 2, 3 / 2))
    np.testing.assert_allclose(warped.parts[0].outline, [(5 / 2, 3 / 2), (1, 0), (1, 3)])


# Shapes


def silhouette(name, seed):
    scale = np.array([[60, 0, 100], [0, 60, 100], [0, 0, 1]])
    shape = SHAPES[name](np.random.default_rng(seed)).warp(scale)
    return shape, (coverage(shape.outlines, Window(0, 0, 200, 200)) >= 0.5).astype(np.uint8)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", CLASSES)
def test_shapes_are_connected_concave_and_carry_their_key_points(name, seed):
    shape, mask = silhouette(name, seed)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    assert len(contours) == 1
    assert mask.sum() < 0.85 * cv2.contourArea(cv2.convexHull(contours[0]))
    assert tuple(shape.keypoints) == KEYPOINTS[name]
    assert 6 <= len(shape.keypoints) <= 10
    for x, y in shape.keypoints.values():
        assert mask[int(y), int(x)]


@pytest.mark.parametrize("seed", range(5))
def test_the_teapot_has_a_hole(seed):
    _, mask = silhouette("teapot", seed)
    _, hierarchy = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    assert (hierarchy[0, :, 3] >= 0).sum() == 1


# Scenes


def test_equal_generators_give_equal_scenes():
    first, second, other = (render_scene(np.random.default_rng(seed), 128) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.image, second.image)
    for one, two in zip(first.objects, second.objects, strict=True):
        np.testing.assert_array_equal(one.mask, two.mask)
        np.testing.assert_array_equal(one.keypoints, two.keypoints)
    assert (first.image != other.image).any()


def test_images_are_rgb_of_the_asked_size(scenes):
    assert {scene.image.shape for scene in scenes} == {(192, 192, 3)}
    assert {scene.image.dtype for scene in scenes} == {np.dtype(np.uint8)}


def test_boxes_are_tight_around_visible_masks(objects):
    for item in objects:
        x1, y1, x2, y2 = item.box.astype(int)
        assert item.mask.sum() == crop(item.mask, item).sum()
        for edge in (item.mask[y1], item.mask[y2 - 1], item.mask[:, x1], item.mask[:, x2 - 1]):
            assert edge.any()


def test_masks_of_a_scene_are_disjoint(scenes):
    for scene in scenes:
        assert sum(item.mask.astype(int) for item in scene.objects).max() == 1


def test_visible_key_points_lie_on_the_mask_and_hidden_ones_on_another(scenes):
    seen = set()
    for scene in scenes:
        anyone = np.any([item.mask for item in scene.objects], axis=0)
        for item in scene.objects:
            assert len(item.keypoints) == len(KEYPOINTS[CLASSES[item.label]])
            for x, y, visibility in item.keypoints:
                seen.add(visibility)
                near = np.s_[max(int(y) - 1, 0) : int(y) + 2, max(int(x) - 1, 0) : int(x) + 2]
                assert item.mask[near].any() == (visibility == 2) or visibility == 0
                assert anyone[near].any() or visibility == 0
                assert visibility > 0 or x == y == 0
    assert seen == {0, 1, 2}


def test_scenes_are_varied(scenes, objects):
    assert {item.label for item in objects} == set(range(len(CLASSES)))
    assert {len(scene.objects) for scene in scenes} == {1, 2, 3}
    touches = [np.isin(item.box, (0, 192)).any() for item in objects]
    assert 0.05 < np.mean(touches) < 0.6
    assert any((item.keypoints[:, 2] == 1).any() for item in objects)


def test_a_filled_box_is_a_bad_mask(objects):
    assert np.mean([crop(item.mask, item).mean() for item in objects]) <= 0.6


def test_masks_survive_a_grid_of_stride_four(objects):
    def through_the_grid(mask):
        grid = cv2.resize(mask.astype(np.float32), (48, 48), interpolation=cv2.INTER_AREA)
        return cv2.resize(grid, (192, 192), interpolation=cv2.INTER_LINEAR) > 0.5

    assert np.mean([iou(through_the_grid(item.mask), item.mask) for item in objects]) > 0.9


@pytest.mark.parametrize("channel", range(3))
def test_no_colour_threshold_solves_it(scenes, channel):
    scores = []
    for scene in scenes:
        lab = cv2.cvtColor(scene.image, cv2.COLOR_RGB2LAB)[..., channel]
        for item in scene.objects:
            bright = cv2.threshold(crop(lab, item), 0, 1, cv2.THRESH_OTSU)[1].astype(bool)
            mask = crop(item.mask, item)
            scores.append(max(iou(bright, mask), iou(~bright, mask)))  # the truth picks the side
    assert np.mean(scores) < 0.6


def test_objects_differ_from_what_surrounds_them(scenes):
    contrasts = []
    for scene in scenes:
        lab = cv2.cvtColor(scene.image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
        for item in scene.objects:
            mask = item.mask.astype(np.uint8)
            rim = mask - cv2.erode(mask, np.ones((5, 5)))
            around = cv2.dilate(mask, np.ones((5, 5))) - mask
            # Nearest colours across the border: for each rim pixel the mean outside within 7 x 7.
            weight = cv2.blur(around.astype(np.float32), (7, 7))[..., None]
            outside = cv2.blur(lab * around[..., None], (7, 7)) / np.maximum(weight, 1e-6)
            distance = np.linalg.norm(lab - outside, axis=2)
            contrasts.append(np.median(distance[(rim > 0) & (weight[..., 0] > 0)]))
    assert np.percentile(contrasts, 10) > 10  # CIE Lab; about 2 is just noticeable


@pytest.mark.parametrize(("size", "max_objects"), [(63, 5), (128, 0)])
def test_impossible_scenes_are_refused(size, max_objects):
    with pytest.raises(ValueError, match="Expected `size` >= 64 and `max_objects` >= 1, but got"):
        render_scene(np.random.default_rng(0), size, max_objects=max_objects)
