"""Training and labelling see an image in the same orientation."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from mmdet.registry import TRANSFORMS
from PIL import Image

from mmdet_discobox.utils.images import read_image


@pytest.fixture
def photograph(tmp_path):
    """A file of 40 x 24 stored pixels, which its EXIF orientation turns to 24 x 40."""
    pixels = np.zeros((24, 40, 3), np.uint8)
    pixels[:12, :20] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "a.jpg", exif=exif, quality=100)
    return tmp_path / "a.jpg"


@pytest.mark.parametrize("size", [(40, 24), (24, 40)])
def test_the_orientation_is_the_one_of_the_json(photograph, size):
    record = dict(img_path=str(photograph), width=size[0], height=size[1])
    loaded = TRANSFORMS.build(dict(type="LoadImageAsLabelled"))(record)
    assert loaded["img_shape"] == loaded["ori_shape"] == size[::-1]
    assert np.array_equal(loaded["img"], read_image(photograph, size=size))
    corner = loaded["img"][:8, :8].mean()  # the white quarter is turned to the right
    assert corner > 200 if size == (40, 24) else corner < 50


def test_upright_images_are_those_of_the_stock_transform(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (24, 40, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), pixels)
    record = dict(img_path=str(tmp_path / "a.png"), width=40, height=24)
    ours, stock = (
        TRANSFORMS.build(dict(type=name))(dict(record))
        for name in ("LoadImageAsLabelled", "LoadImageFromFile")
    )
    assert np.array_equal(ours.pop("img"), stock.pop("img"))
    assert ours == stock
    with pytest.raises(ValueError, match="to have 41 x 24 pixels, as its boxes require, but got"):
        TRANSFORMS.build(dict(type="LoadImageAsLabelled"))(dict(record, width=41))
