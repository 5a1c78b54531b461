from __future__ import annotations

import contextlib
import io
import json

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmdet_discobox.datasets.scenes import CLASSES, KEYPOINTS, make_dataset, render_scene
from mmdet_discobox.datasets.scenes.curves import ellipse, point, polygon, rotate, smooth, stroke
from mmdet_discobox.datasets.scenes.painting import Window, coverage
from mmdet_discobox.datasets.scenes.shape import Part, Shape
from mmdet_discobox.datasets.scenes.shapes import SHAPES

SETTINGS = dict(num_train=4, num_val=3, image_size=96, seed=5)
JSON_FILES = ("train_boxes.json", "train_full.json", "val.json")


@pytest.fixture(scope="module")
def scenes():
    return [render_scene(np.random.default_rng([11, index]), 192) for index in range(60)]


@pytest.fixture(scope="module")
def objects(scenes):
    return [item for scene in scenes for item in scene.objects]


@pytest.fixture
def dataset(tmp_path):
    return make_dataset(tmp_path / "scenes", **SETTINGS)


def contents(root):
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def load(root, name):
    return json.loads((root / name).read_text())


def open_coco(path):
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(path))


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
    assert {len(scene.objects) for scene in scenes} == {1, 2, 3, 4, 5}
    touches = [np.isin(item.box, (0, 192)).any() for item in objects]
    assert 0.05 < np.mean(touches) < 0.6
    assert any((item.keypoints[:, 2] == 1).any() for item in objects)


def test_a_filled_box_is_a_bad_mask(objects):
    assert np.mean([crop(item.mask, item).mean() for item in objects]) <= 0.5


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
    assert np.mean(scores) < 0.55


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


# Files


def test_equal_settings_give_equal_files(dataset, tmp_path):
    again = make_dataset(tmp_path / "again", **SETTINGS)
    other = make_dataset(tmp_path / "other", **{**SETTINGS, "seed": 6})
    assert contents(again) == contents(dataset)
    assert (other / "images/train/00000.jpg").read_bytes() != (
        dataset / "images/train/00000.jpg"
    ).read_bytes()


def test_images_do_not_depend_on_their_number(dataset, tmp_path):
    more = contents(make_dataset(tmp_path / "more", **{**SETTINGS, "num_train": 6}))
    images = {name: code for name, code in contents(dataset).items() if name.endswith(".jpg")}
    assert images.items() <= more.items()
    assert images["images/train/00000.jpg"] != images["images/val/00000.jpg"]


def test_a_second_call_does_nothing(dataset):
    before = {path: path.stat().st_mtime_ns for path in dataset.rglob("*")}
    make_dataset(dataset, **SETTINGS)
    assert {path: path.stat().st_mtime_ns for path in dataset.rglob("*")} == before


@pytest.mark.parametrize("lost", ["scenes_info.json", "val.json", "images/train/00002.jpg"])
def test_the_next_call_heals_an_interrupted_one(dataset, lost):
    before = contents(dataset)
    (dataset / lost).unlink()
    if lost == "scenes_info.json":
        (dataset / "images/train/00001.jpg").write_bytes(b"half")
    assert contents(make_dataset(dataset, **SETTINGS)) == before


def test_other_settings_replace_a_data_set(dataset, tmp_path):
    make_dataset(dataset, **{**SETTINGS, "seed": 6})
    assert contents(dataset) == contents(make_dataset(tmp_path / "new", **{**SETTINGS, "seed": 6}))


def test_box_file_holds_nothing_but_boxes(dataset):
    boxes, full = load(dataset, "train_boxes.json"), load(dataset, "train_full.json")
    allowed = {"id", "image_id", "category_id", "bbox", "iscrowd"}
    assert all(set(annotation) == allowed for annotation in boxes["annotations"])
    assert boxes["images"] == full["images"]
    for box, everything in zip(boxes["annotations"], full["annotations"], strict=True):
        assert box.items() <= everything.items()


@pytest.mark.parametrize("name", JSON_FILES)
def test_files_are_coco(dataset, name):
    coco = open_coco(dataset / name)
    assert [category["name"] for category in coco.loadCats(coco.getCatIds())] == list(CLASSES)
    for category in coco.loadCats(coco.getCatIds()):
        assert tuple(category["keypoints"]) == KEYPOINTS[category["name"]]
    for entry in coco.loadImgs(coco.getImgIds()):
        image = cv2.imread(str(dataset / entry["file_name"]))
        assert image.shape == (entry["height"], entry["width"], 3)
        assert coco.getAnnIds(entry["id"])


def test_annotations_agree_with_their_masks(dataset):
    coco = open_coco(dataset / "val.json")
    for annotation in coco.loadAnns(coco.getAnnIds()):
        mask, (x, y, w, h) = coco.annToMask(annotation), np.int64(annotation["bbox"])
        assert annotation["area"] == mask.sum() == mask[y : y + h, x : x + w].sum()
        visibility = annotation["keypoints"][2::3]
        assert annotation["num_keypoints"] == sum(v > 0 for v in visibility)


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_the_truth_scores_one(dataset, kind):
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(dataset / "val.json"))
        fields = ("image_id", "category_id", "bbox" if kind == "bbox" else "segmentation")
        found = [
            {**{field: annotation[field] for field in fields}, "score": 1.0}
            for annotation in truth.loadAnns(truth.getAnnIds())
        ]
        evaluation = COCOeval(truth, truth.loadRes(found), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1.0)


@pytest.mark.parametrize(
    "wrong", [{"num_train": 0}, {"num_val": 0}, {"image_size": 32}, {"seed": -1}]
)
def test_impossible_data_sets_are_refused(tmp_path, wrong):
    with pytest.raises(ValueError, match="Expected at least one image per split"):
        make_dataset(tmp_path / "none", **{**SETTINGS, **wrong})
    assert not (tmp_path / "none").exists()
