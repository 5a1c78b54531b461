"""Small image files for the tests of the pair readers."""

from __future__ import annotations

from PIL import Image


def write_image(path, size=(50, 40)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size).save(path)
    return path
