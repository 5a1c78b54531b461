"""Images are checked as training reads them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from checked_data import GOOD, HEIGHT, WIDTH, coco
from PIL import Image

from dataset_checks.image_findings import _compare, image_findings


def _image(mode="RGB", size=(WIDTH, HEIGHT)):
    noise = np.random.default_rng(1).integers(0, 255, (size[1], size[0], 3), np.uint8)
    return Image.fromarray(noise).convert(mode)


def _oriented(value, size, kind="JPEG"):
    exif = Image.Exif()
    exif[0x0112] = value
    return lambda path: _image(size=size).save(path, kind, exif=exif)


def _floats(shape):
    noise = np.random.default_rng(1).random(shape).astype(np.float32)
    return lambda path: path.write_bytes(cv2.imencode(".tif", noise)[1].tobytes())


def _deep(shape):
    noise = np.random.default_rng(1).integers(0, 4095, shape).astype(np.uint16)
    return lambda path: path.write_bytes(cv2.imencode(".png", noise)[1].tobytes())


def _truncated(path):
    _image().save(path, "JPEG")
    path.write_bytes(path.read_bytes()[:-1500])


@pytest.mark.parametrize(
    ("save", "level", "words"),
    [
        (_deep((HEIGHT, WIDTH)), "warning", "more than 8 bits per channel"),
        (_deep((HEIGHT, WIDTH, 3)), "warning", "more than 8 bits per channel"),
        (lambda path: _image("L").save(path, "PNG"), "note", "1 images are gray"),
        (lambda path: _image("CMYK").save(path, "JPEG"), "warning", "1 images are CMYK"),
        (lambda path: _image("RGBA").save(path, "PNG"), "note", "1 images have an alpha channel"),
        (lambda path: _image("P").save(path, "PNG"), None, ""),
        (_oriented(1, (WIDTH, HEIGHT)), None, ""),
        (_oriented(6, (HEIGHT, WIDTH)), "note", "rotated by their EXIF orientation, as the"),
        (_oriented(6, (WIDTH, HEIGHT)), "error", "boxes refer to the stored image"),
        (_oriented(6, (HEIGHT, WIDTH), "TIFF"), "note", "EXIF orientation, as the json expects"),
        (_oriented(6, (WIDTH, HEIGHT), "TIFF"), "error", "boxes refer to the stored image"),
        (_oriented(3, (WIDTH, HEIGHT)), "warning", "without a change of size"),
        (_floats((HEIGHT, WIDTH)), "error", "cannot be read by OpenCV"),
        (_floats((HEIGHT, WIDTH, 3)), "error", "cannot be read by OpenCV"),
        (
            lambda path: _image(size=(50, 40)).save(path, "PNG"),
            "error",
            "another size than in the json; their boxes do not fit them",
        ),
        (lambda path: path.write_bytes(b""), "error", "cannot be read by OpenCV"),
        (lambda path: path.write_bytes(b"not an image"), "error", "cannot be read by OpenCV"),
    ],
)
def test_images_are_checked_as_training_reads_them(check, save, level, words):
    save(check.folder / "Straße 图.png")
    report = check(coco([4, 4, 20, 20]))
    if level is None:
        assert report.findings == ()
    else:
        findings = [f for f in report.findings if words in f.text]
        assert [f.level for f in findings] == [level], str(report)
        assert report.stops_training == (level == "error")
        assert findings[0].examples[0].startswith("'Straße 图.png'")


def test_a_truncated_image_is_reported(check):
    """OpenCV refuses the file; older versions read a part, so Pillow checks it as well."""
    path = check.folder / "Straße 图.png"
    _truncated(path)
    report = check(coco(GOOD))
    texts = [f.text for f in report.findings]
    assert any("cannot be read by OpenCV" in text or "truncated" in text for text in texts)
    part = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    assert list(_compare(part, path.read_bytes(), (WIDTH, HEIGHT))) == [("damaged", "")]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_upright_sizes_agree_with_the_loader(check, kind):
    from mmcv import imfrombytes

    for value in range(1, 9):
        _oriented(value, (WIDTH, HEIGHT), kind)(check.folder / "Straße 图.png")
        shape = imfrombytes((check.folder / "Straße 图.png").read_bytes()).shape[:2]
        same = shape == (HEIGHT, WIDTH)
        assert check(coco(GOOD)).stops_training == (not same), value


def test_the_orientation_of_a_square_image_is_a_warning(check):
    path = check.folder / "Straße 图.png"
    _oriented(6, (WIDTH, WIDTH))(path)
    image = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    found = list(_compare(image, path.read_bytes(), (WIDTH, WIDTH)))
    assert found == [("mirrored", ": orientation 6")]


def test_a_wrong_folder_is_told_from_missing_files(tmp_path):
    images = [dict(file_name=f"{i}.png", width=WIDTH, height=HEIGHT) for i in (1, 2)]
    folder = tmp_path / "images"
    folder.mkdir()
    (finding,) = image_findings(images, folder)
    assert f"IMG_DIR, not '{folder}'" in finding.fix
    _image().save(folder / "1.png")
    (finding,) = image_findings(images, folder)
    assert finding.fix == "Restore them, or fix `file_name`"
    (finding,) = image_findings(images, tmp_path)
    assert f"'1.png' is in '{folder}': pass this as the folder of the images" in finding.fix
