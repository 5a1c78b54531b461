"""The picture of a label file, and its size as a training reads it."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import ExifTags, Image

from mmdet_discobox.datasets.box_formats import read_boxes
from mmdet_discobox.datasets.box_formats.picture_files import picture_size
from mmdet_discobox.datasets.pictures import read_picture

PICTURE = Image.fromarray(np.zeros((12, 20, 3), np.uint8))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_sizes_are_those_of_the_picture_that_is_read(tmp_path, suffix, orientation):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    path = tmp_path / f"bild ü.{suffix}"
    PICTURE.save(path, exif=exif)
    height, width = read_picture(path).shape[:2]
    assert picture_size(path) == (width, height)


def test_a_picture_that_cannot_be_read_is_told(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no picture")
    for name in ("a.png", "gone.png"):
        with pytest.raises(ValueError, match=f"Expected a picture at .*{name}'"):
            picture_size(tmp_path / name)


@pytest.fixture
def twins(tmp_path):
    """Labels of `s`, and the pictures `s.png`, `s.jpg` and, without labels, two `t`."""
    labels, images = tmp_path / "labels", tmp_path / "images"
    labels.mkdir()
    images.mkdir()
    for name in ("s.png", "s.jpg", "t.png", "t.jpg"):
        PICTURE.save(images / name)
    return labels, images


def test_pictures_of_one_name_are_told(twins):
    labels, images = twins
    (labels / "s.txt").write_text("0 0.5 0.5 1 1")
    with pytest.raises(ValueError, match=r"one picture 's\.\*'.* got \['s\.jpg', 's\.png'\]"):
        read_boxes(labels, images)
    (images / "s.jpg").unlink()
    assert [image["file_name"] for image in read_boxes(labels, images)["images"]] == ["s.png"]


def test_an_xml_that_names_its_picture_may_have_twins(twins):
    labels, images = twins
    (labels / "s.xml").write_text("<annotation><filename>s.jpg</filename></annotation>")
    assert [image["file_name"] for image in read_boxes(labels, images)["images"]] == ["s.jpg"]
