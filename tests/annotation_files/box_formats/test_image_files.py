"""The image of a label file, and its size as training reads it."""

from __future__ import annotations

from unicodedata import normalize

import numpy as np
import pytest
from PIL import ExifTags, Image

from mmdet_discobox.annotation_files.box_formats import read_boxes
from mmdet_discobox.utils.images import image_size, read_image

IMAGE = Image.fromarray(np.zeros((12, 20, 3), np.uint8))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_sizes_are_those_of_the_read_image(tmp_path, suffix, orientation):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    path = tmp_path / f"bild ü.{suffix}"
    IMAGE.save(path, exif=exif)
    height, width = read_image(path).shape[:2]
    assert image_size(path) == (width, height)


def test_an_unreadable_image_is_refused(tmp_path):
    (tmp_path / "a.png").write_bytes(b"not an image")
    for name in ("a.png", "gone.png"):
        with pytest.raises(ValueError, match=f"Expected an image at .*{name}'"):
            image_size(tmp_path / name)


@pytest.fixture
def twins(tmp_path):
    """Labels of `s`, and the images `s.png`, `s.jpg` and, without labels, two `t`."""
    labels, images = tmp_path / "labels", tmp_path / "images"
    labels.mkdir()
    images.mkdir()
    for name in ("s.png", "s.jpg", "t.png", "t.jpg"):
        IMAGE.save(images / name)
    return labels, images


def test_several_images_of_one_name_are_refused(twins):
    labels, images = twins
    (labels / "s.txt").write_text("0 0.5 0.5 1 1")
    with pytest.raises(ValueError, match=r"one image 's\.\*'.* got \['s\.jpg', 's\.png'\]"):
        read_boxes(labels, images)
    (images / "s.jpg").unlink()
    assert [image["file_name"] for image in read_boxes(labels, images)["images"]] == ["s.png"]


def test_several_images_are_allowed_if_the_xml_names_one(twins):
    labels, images = twins
    (labels / "s.xml").write_text("<annotation><filename>s.jpg</filename></annotation>")
    assert [image["file_name"] for image in read_boxes(labels, images)["images"]] == ["s.jpg"]


@pytest.mark.parametrize(("image_form", "label_form"), [("NFD", "NFC"), ("NFC", "NFD")])
@pytest.mark.parametrize("suffix", ["txt", "xml"])
def test_accents_are_equal_in_both_forms_of_unicode(tmp_path, suffix, image_form, label_form):
    name = f"{normalize(image_form, 'café')}.png"
    labels, images = tmp_path / "labels", tmp_path / "images"
    labels.mkdir()
    images.mkdir()
    IMAGE.save(images / name)
    text = {"txt": "", "xml": "<annotation><filename>/pc/x.png</filename></annotation>"}[suffix]
    (labels / f"{normalize(label_form, 'café')}.{suffix}").write_text(text)
    assert [image["file_name"] for image in read_boxes(labels, images)["images"]] == [name]


@pytest.mark.parametrize(
    ("suffix", "text"), [("xml", "<annotation></annotation>"), ("txt", "0 0.5 0.5 1 1")]
)
@pytest.mark.parametrize("hidden", ["xml", "txt"])
def test_hidden_files_are_no_labels(twins, suffix, text, hidden):
    """macOS writes one beside each file on drives of other systems."""
    labels, images = twins
    (images / "s.jpg").unlink()
    (labels / f"s.{suffix}").write_text(text)
    (labels / f"._s.{hidden}").write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X\0\0\x0e\xb0\0")
    assert [image["file_name"] for image in read_boxes(labels, images)["images"]] == ["s.png"]
