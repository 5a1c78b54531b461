"""The check of a data set: every fault is told once, with its place; a good one is left alone."""

from __future__ import annotations

import copy
import json

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mmdet_discobox.datasets.checks import BoxTable, TrainingSettings, scale_ranges, suggest
from mmdet_discobox.datasets.checks.box_findings import _repeats
from mmdet_discobox.datasets.checks.image_findings import _oddities
from mmdet_discobox.datasets.dataset_check import check_dataset

WIDTH, HEIGHT = 96, 64
PLAIN = TrainingSettings(image_scale=None, scale_ranges=((1, 48), (24, 96)), batch_size=1)


def coco(*boxes, **fields):
    annotations = [
        dict(id=i, image_id=1, category_id=1, bbox=box, **fields) for i, box in enumerate(boxes, 1)
    ]
    image = dict(id=1, file_name="Straße 图.png", width=WIDTH, height=HEIGHT)
    return dict(images=[image], annotations=annotations, categories=[dict(id=1, name="猫")])


@pytest.fixture
def check(tmp_path):
    folder = tmp_path / "bilder é"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "Straße 图.png")

    def run(content, **changes):
        path = tmp_path / "boxes.json"
        path.write_text(json.dumps(content, ensure_ascii=False))
        return check_dataset(path, folder, settings=changes.pop("settings", PLAIN), **changes)

    run.folder = folder
    return run


def texts(report, level):
    return [str(finding) for finding in report.findings if finding.level == level]


def only(report, level):
    """The one finding; every other would be a false alarm."""
    assert [finding.level for finding in report.findings] == [level], str(report)
    assert report.stops_training == (level == "error")
    return str(report.findings[0])


def test_nothing_is_found_where_nothing_is_wrong(check):
    report = check(coco([4, 4, 20, 20], [50, 10, 30, 40]))
    assert report.findings == ()
    assert not report.stops_training
    assert "1 images, 2 boxes, 1 classes\n\nNothing found." in str(report)
    assert "classes=('猫',)" in str(report)
    assert json.loads(json.dumps(report.as_json()))["counts"]["boxes"] == 2


GOOD = [4, 4, 20, 20]


@pytest.mark.parametrize(
    ("boxes", "level", "words"),
    [
        ([GOOD, [5, 5, 0.4, 9]], "warning", "1 boxes are thinner than a pixel and are dropped"),
        ([GOOD, [96, 5, 9, 9]], "warning", "1 boxes lie outside their image and are dropped"),
        ([GOOD, [90, 5, 20, 9]], "warning", "1 boxes reach past the border"),
        ([GOOD, [4, 4, 20, 19]], "warning", "1 boxes repeat another box"),
        ([GOOD, [60, 5, 30, 3]], "warning", "1 boxes are narrower than 4 pixels"),
    ],
)
def test_odd_boxes_are_told_with_their_place(check, boxes, level, words):
    finding = only(check(coco(*boxes)), level)
    assert words in finding
    assert f"annotation 2 ('Straße 图.png'): bbox {boxes[1]}" in finding


def test_what_is_in_order_at_the_border(check):
    assert check(coco([-1, -1, 97, 40], [0, 0, WIDTH, HEIGHT])).findings == ()


def test_boxes_of_no_level_are_told(check):
    ranges = TrainingSettings(image_scale=None, scale_ranges=((10, 20), (15, 30)))
    report = check(coco([4, 4, 20, 20], [40, 4, 50, 50], [4, 40, 6, 6]), settings=ranges)
    assert "2 boxes are in no scale range of the config and never trained (smallest 10" in only(
        report, "warning"
    )
    assert report.suggestions.present_shares == (1 / 3, 1 / 3)


def test_sizes_are_those_after_resizing(check):
    enlarged = TrainingSettings(image_scale=(960, 640))  # ten times
    assert check(coco(GOOD, [40, 4, 1, 1]), settings=enlarged).findings == ()
    assert enlarged.factors(np.array([[96.0, 64.0], [64.0, 96.0], [10, 320]])).tolist() == [
        10,
        10,
        3,
    ]


def test_crowd_and_ignored_boxes_are_notes(check):
    content = coco(GOOD, [30, 4, 20, 20], [60, 4, 0.2, 0.2])
    content["annotations"][1]["iscrowd"] = 1
    content["annotations"][2]["ignore"] = 1
    assert [t.split(" and")[0] for t in texts(check(content), "note")] == [
        "note: 1 boxes have `iscrowd` set",
        "note: 1 boxes have `ignore` set",
    ]


def test_without_a_box_nothing_can_be_trained(check):
    report = check(coco())
    assert "error: There is no box to train on" in texts(report, "error")[0]
    assert check(coco(GOOD, iscrowd=1)).stops_training


def test_classes_are_compared_with_the_config(check):
    content = coco(GOOD)
    content["categories"].append(dict(id=2, name="dog"))
    assert "1 classes have no box to train on" in only(check(content), "warning")
    wrong = TrainingSettings(image_scale=None, num_classes=80, classes=("猫",))
    assert "`num_classes` is 80, but the classes are '猫'" in only(
        check(content, settings=wrong), "error"
    )
    unknown = TrainingSettings(image_scale=None, classes=("bird",))
    assert "has names that the json does not have: 'bird'" in only(
        check(content, settings=unknown), "error"
    )
    content["annotations"].append(dict(id=9, image_id=1, category_id=2, bbox=[40, 4, 20, 20]))
    cats = TrainingSettings(image_scale=None, classes=("猫",))
    assert "1 boxes belong to classes that" in only(check(content, settings=cats), "note")
    content["categories"][1]["name"] = "猫"
    assert "1 names belong to several categories" in only(check(content), "error")


def test_a_broken_json_gets_the_words_of_the_validation(check):
    content = coco(GOOD, [1, 1, -4, 5])
    report = check(content)
    assert "expected no negative width or height" in only(report, "error")
    assert report.suggestions is None
    many = check(coco(*[[1, 1, -4, 5]] * 30))
    assert len(many.findings) == 30
    assert str(many).endswith("... and 10 more findings")


def test_images_without_boxes_and_files_of_several_images(check):
    content = coco(GOOD)
    content["images"].append({**content["images"][0], "id": 2})
    report = check(content)
    assert "1 files are named by several images" in texts(report, "warning")[0]
    assert "1 of 2 images have no box" in texts(report, "note")[0]


def test_missing_files_and_folders(check, tmp_path):
    content = coco(GOOD)
    content["images"][0]["file_name"] = "gone.png"
    assert "1 image files are missing" in only(check(content), "error")
    content["images"][0]["file_name"] = "nul\0.png"
    assert "1 image files are missing" in only(check(content), "error")
    with pytest.raises(FileNotFoundError, match="a folder of pictures"):
        check_dataset(tmp_path / "boxes.json", tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="no such file"):
        check_dataset(tmp_path / "nowhere.json", tmp_path)


def _picture(mode="RGB", size=(WIDTH, HEIGHT)):
    noise = np.random.default_rng(1).integers(0, 255, (size[1], size[0], 3), np.uint8)
    return Image.fromarray(noise).convert(mode)


def _oriented(value, size):
    exif = Image.Exif()
    exif[0x0112] = value
    return lambda path: _picture(size=size).save(path, "JPEG", exif=exif)


def _deep(shape):
    noise = np.random.default_rng(1).integers(0, 4095, shape).astype(np.uint16)
    return lambda path: path.write_bytes(cv2.imencode(".png", noise)[1].tobytes())


def _truncated(path):
    _picture().save(path, "JPEG")
    path.write_bytes(path.read_bytes()[:-1500])


@pytest.mark.parametrize(
    ("save", "level", "words"),
    [
        (_deep((HEIGHT, WIDTH)), "warning", "more than 8 bits a channel"),
        (_deep((HEIGHT, WIDTH, 3)), "warning", "more than 8 bits a channel"),
        (lambda path: _picture("L").save(path, "PNG"), "note", "1 pictures are gray"),
        (lambda path: _picture("CMYK").save(path, "JPEG"), "warning", "1 pictures are CMYK"),
        (lambda path: _picture("RGBA").save(path, "PNG"), "note", "1 pictures have transparency"),
        (lambda path: _picture("P").save(path, "PNG"), None, ""),
        (_oriented(1, (WIDTH, HEIGHT)), None, ""),
        (_oriented(6, (HEIGHT, WIDTH)), "note", "turned upright by their EXIF orientation, as the"),
        (_oriented(6, (WIDTH, HEIGHT)), "error", "boxes are for the picture as it is stored"),
        (_oriented(3, (WIDTH, HEIGHT)), "warning", "without a change of size"),
        (
            lambda path: _picture(size=(50, 40)).save(path, "PNG"),
            "error",
            "another size than the json says; their boxes do not fit them",
        ),
        (lambda path: path.write_bytes(b""), "error", "cannot be read by OpenCV"),
        (lambda path: path.write_bytes(b"no picture"), "error", "cannot be read by OpenCV"),
    ],
)
def test_pictures_are_judged_as_training_reads_them(check, save, level, words):
    save(check.folder / "Straße 图.png")
    report = check(coco([4, 4, 20, 20]))
    if level is None:
        assert report.findings == ()
    else:
        findings = [f for f in report.findings if words in f.text]
        assert [f.level for f in findings] == [level], str(report)
        assert report.stops_training == (level == "error")
        assert findings[0].examples[0].startswith("'Straße 图.png'")


def test_a_picture_that_ends_early_is_told(check):
    """OpenCV refuses it today; older ones read a part, which is then compared with Pillow."""
    path = check.folder / "Straße 图.png"
    _truncated(path)
    report = check(coco(GOOD))
    told = [f.text for f in report.findings]
    assert any("cannot be read by OpenCV" in text or "end early" in text for text in told)
    part = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    assert list(_oddities(part, path.read_bytes(), (WIDTH, HEIGHT))) == [("damaged", "")]


def test_upright_sizes_agree_with_the_loader(check):
    from mmcv import imfrombytes

    for value in range(1, 9):
        _oriented(value, (WIDTH, HEIGHT))(check.folder / "Straße 图.png")
        shape = imfrombytes((check.folder / "Straße 图.png").read_bytes()).shape[:2]
        same = shape == (HEIGHT, WIDTH)
        assert check(coco(GOOD)).stops_training == (not same), value


def _iou(first, second):
    low, high = np.maximum(first[:2], second[:2]), np.minimum(first[2:], second[2:])
    overlap = np.prod((high - low).clip(0))
    areas = [np.prod(box[2:] - box[:2]) for box in (first, second)]
    return overlap / (sum(areas) - overlap)


def test_repeats_agree_with_two_loops():
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 6, (1500, 2)).astype(float)
    corners = np.concatenate([corners, corners + rng.integers(8, 30, (1500, 2))], 1)
    expected = [
        any(_iou(corners[i], corners[j]) >= 0.9 for j in range(i)) for i in range(0, 1500, 25)
    ]
    assert _repeats(corners)[::25].tolist() == expected
    assert 0 < sum(expected) < len(expected)


def test_thousands_of_boxes_on_one_image(check):
    boxes = [[x, y, 1, 1] for x in range(WIDTH) for y in range(HEIGHT)]
    report = check(coco(*boxes))
    assert report.counts["boxes"] == WIDTH * HEIGHT
    assert "... and 6139 more" in only(report, "warning")


def test_scale_ranges_of_coco_are_those_of_solov2():
    sizes = np.full(100, 580.0)
    assert scale_ranges(sizes) == ((1, 96), (48, 192), (96, 384), (192, 768), (384, 2048))
    assert scale_ranges(np.zeros(0)) == scale_ranges(sizes)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.floats(1, 4000), min_size=1, max_size=30),
    st.integers(2, 6),
)
def test_suggested_ranges_hold_every_box(sizes, levels):
    ranges = scale_ranges(np.array(sizes), levels=levels)
    assert len(ranges) == levels
    for size in sizes:
        assert any(low <= size <= high for low, high in ranges)


def test_a_short_training_is_told(check):
    table = BoxTable(coco(GOOD))
    short = suggest(table, TrainingSettings(batch_size=1, max_epochs=12))
    assert (short.iterations, short.latest_opening, short.max_epochs) == (12, 3, 558)
    assert "max_epochs = 558" in str(short)
    by_loss = TrainingSettings(max_epochs=None, max_iters=9000, consistency=dict(mil_below=0.2))
    long = suggest(table, by_loss)
    assert (long.iterations, long.latest_opening, long.max_epochs) == (9000, None, None)
    assert "L_con starts as soon as the MIL loss is low" in str(long)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["images", "annotations", "categories"]), st.data())
def test_any_value_in_any_field_gives_a_report(tmp_path_factory, section, data):
    folder = tmp_path_factory.mktemp("fuzz")
    content = copy.deepcopy(coco(GOOD, [1, 2, 3, 4]))
    record = content[section][0]
    record[data.draw(st.sampled_from(sorted(record)))] = data.draw(JSON)
    (folder / "boxes.json").write_text(json.dumps(content))
    report = check_dataset(folder / "boxes.json", folder, settings=PLAIN)
    assert report.stops_training  # at least: the picture is missing
    assert str(report)
