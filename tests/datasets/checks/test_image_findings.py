"""Pictures are judged as the training reads them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from checked_data import GOOD, HEIGHT, WIDTH, coco
from PIL import Image

from mmdet_discobox.datasets.checks.image_findings import _oddities


def _picture(mode="RGB", size=(WIDTH, HEIGHT)):
    noise = np.random.default_rng(1).integers(0, 255, (size[1], size[0], 3), np.uint8)
    return Image.fromarray(noise).convert(mode)


def _oriented(value, size, kind="JPEG"):
    exif = Image.Exif()
    exif[0x0112] = value
    return lambda path: _picture(size=size).save(path, kind, exif=exif)


def _floats(shape):
    noise = np.random.default_rng(1).random(shape).astype(np.float32)
    return lambda path: path.write_bytes(cv2.imencode(".tif", noise)[1].tobytes())


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
        (_oriented(6, (HEIGHT, WIDTH), "TIFF"), "note", "EXIF orientation, as the json expects"),
        (_oriented(6, (WIDTH, HEIGHT), "TIFF"), "error", "boxes are for the picture as it is"),
        (_oriented(3, (WIDTH, HEIGHT)), "warning", "without a change of size"),
        (_floats((HEIGHT, WIDTH)), "error", "cannot be read by OpenCV"),
        (_floats((HEIGHT, WIDTH, 3)), "error", "cannot be read by OpenCV"),
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


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_upright_sizes_agree_with_the_loader(check, kind):
    from mmcv import imfrombytes

    for value in range(1, 9):
        _oriented(value, (WIDTH, HEIGHT), kind)(check.folder / "Straße 图.png")
        shape = imfrombytes((check.folder / "Straße 图.png").read_bytes()).shape[:2]
        same = shape == (HEIGHT, WIDTH)
        assert check(coco(GOOD)).stops_training == (not same), value


def test_a_square_picture_does_not_tell_which_way_round_its_boxes_are(check):
    path = check.folder / "Straße 图.png"
    _oriented(6, (WIDTH, WIDTH))(path)
    picture = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    found = list(_oddities(picture, path.read_bytes(), (WIDTH, WIDTH)))
    assert found == [("mirrored", ": orientation 6")]
