from __future__ import annotations

import cv2
import numpy as np
import pytest
from mmdet.datasets.transforms import LoadAnnotations  # noqa: F401 - registers the transforms
from mmdet.registry import TRANSFORMS
from PIL import ExifTags, Image

from mmdet_discobox.utils.images import image_size, list_images, read_image

HEIGHT, WIDTH = 12, 20
PIXELS = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def save(path, kind):
    image = Image.fromarray(PIXELS)
    if kind == "16 bit":
        cv2.imwrite(str(path), PIXELS.astype(np.uint16) * 257)
    elif kind == "gray":
        image.convert("L").save(path)
    elif kind == "alpha":
        image.convert("RGBA").save(path)
    elif kind == "cmyk":
        image.convert("CMYK").save(path)
    else:
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = kind
        image.save(path, exif=exif)
    return path


@pytest.mark.parametrize(
    ("kind", "suffix"),
    [("16 bit", "png"), ("gray", "png"), ("alpha", "png"), ("cmyk", "jpg"), (1, "jpg"), (6, "jpg")],
)
def test_pixels_are_those_of_mmdets_loader(tmp_path, kind, suffix):
    path = save(tmp_path / f"bild ü.{suffix}", kind)
    loaded = TRANSFORMS.build(dict(type="LoadImageFromFile"))(dict(img_path=str(path)))["img"]
    image = read_image(path)
    assert image.dtype == np.uint8
    assert np.array_equal(image, loaded)


def test_the_orientation_that_fits_the_size_of_the_boxes_is_read(tmp_path):
    path = save(tmp_path / "rotated.png", 6)
    upright = read_image(path, size=(HEIGHT, WIDTH))
    stored = read_image(path, size=(WIDTH, HEIGHT))
    assert np.array_equal(stored, PIXELS[..., ::-1])
    assert np.array_equal(upright, np.rot90(stored, -1))


def test_errors(tmp_path):
    path = save(tmp_path / "a.png", 1)
    with pytest.raises(ValueError, match=r"a\.png' to have 30 x 12 pixels, .* got 20 x 12"):
        read_image(path, size=(30, 12))
    with pytest.raises(FileNotFoundError, match="an image at .* no such file"):
        read_image(tmp_path / "gone.png")
    with pytest.raises(FileNotFoundError, match="an image at .* no such file"):
        read_image("null\0byte.png")
    for name, content in (("empty.png", b""), ("text.png", b"not an image")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match="OpenCV cannot read"):
            read_image(tmp_path / name)


def test_the_size_of_an_image_that_only_opencv_reads(tmp_path, monkeypatch):
    path = save(tmp_path / "large.png", 1)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", WIDTH * HEIGHT // 2 - 1)
    with pytest.raises(Image.DecompressionBombError):
        Image.open(path)
    assert image_size(path) == (WIDTH, HEIGHT)
    pam = tmp_path / "a.pnm"  # Pillow knows no P7
    header = f"P7\nWIDTH {WIDTH}\nHEIGHT {HEIGHT}\nDEPTH 3\nMAXVAL 255\nTUPLTYPE RGB\nENDHDR\n"
    pam.write_bytes(header.encode() + PIXELS.tobytes())
    assert image_size(pam) == (WIDTH, HEIGHT)
    pam.write_bytes(b"not an image")
    with pytest.raises(ValueError, match="OpenCV cannot read"):
        image_size(pam)


def test_images_behind_links_to_folders_are_listed_once(tmp_path):
    images, disk = tmp_path / "images", tmp_path / "disk"
    for path in (images / "own" / "a.png", disk / "day" / "b.png", images / "c.png"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (images / "camera").symlink_to(disk)
    (images / "a_link").symlink_to(images / "own")
    (disk / "back").symlink_to(images)
    (images / ".hidden").symlink_to(disk)
    names = [path.as_posix() for path in list_images(images)]
    assert names == ["c.png", "camera/day/b.png", "own/a.png"]
