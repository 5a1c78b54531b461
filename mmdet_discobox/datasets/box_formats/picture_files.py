"""Find the picture of a label file, and its size."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from PIL import ExifTags, Image

from mmdet_discobox.datasets.pictures import read_picture

Pictures = Mapping[str, list[str]]

_SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".jp2")
)


def pictures_by_stem(image_dir: Path) -> Pictures:
    """File names of the pictures of a folder by their name without suffix."""
    pictures: dict[str, list[str]] = defaultdict(list)
    for file in sorted(image_dir.iterdir()):
        if file.suffix.lower() in _SUFFIXES:
            pictures[file.stem].append(file.name)
    return dict(pictures)


def find_picture(stem: str, pictures: Pictures, *, label_file: Path) -> str:
    """Return the file name of a label file's picture.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if there are several: boxes do not tell which of them they were drawn on.
    """
    if stem not in pictures:
        raise FileNotFoundError(
            f"Expected a picture '{stem}.*' for '{label_file}' in IMG_DIR, but there is none."
        )
    if len(pictures[stem]) > 1:
        raise ValueError(
            f"Expected one picture '{stem}.*' for '{label_file}' in IMG_DIR, but got "
            f"{pictures[stem]}. Keep the one that was labelled and move the others elsewhere."
        )
    return pictures[stem][0]


def picture_size(path: Path) -> tuple[int, int]:
    """Width and height of a picture as :func:`read_picture` turns it upright.

    It is decoded only if its EXIF orientation exchanges the two: for which kinds of files the
    header tells them before or after the turn depends on the versions of Pillow and OpenCV.

    Raises:
        ValueError: if it cannot be read.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as picture:
                turned = picture.getexif().get(ExifTags.Base.Orientation, 1) in range(5, 9)
                size = picture.size
        if turned:
            height, width = read_picture(path).shape[:2]
            size = (width, height)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(
            f"Expected a picture at '{path}', but it cannot be read: {error}."
        ) from error
    return size
