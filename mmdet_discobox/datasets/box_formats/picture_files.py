"""Find the picture of a label file, and its size."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

from PIL import ExifTags, Image

_SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".jp2")
)


def pictures_by_stem(image_dir: Path) -> dict[str, str]:
    """File names of the pictures of a folder by their name without suffix."""
    names = sorted(file.name for file in image_dir.iterdir() if file.suffix.lower() in _SUFFIXES)
    return {Path(name).stem: name for name in names}


def find_picture(stem: str, pictures: Mapping[str, str], *, label_file: Path) -> str:
    """Return the file name of a label file's picture.

    Raises:
        FileNotFoundError: if there is none.
    """
    if stem not in pictures:
        raise FileNotFoundError(
            f"Expected a picture '{stem}.*' for '{label_file}' in IMG_DIR, but there is none."
        )
    return pictures[stem]


def picture_size(path: Path) -> tuple[int, int]:
    """Width and height of a picture turned upright, without decoding it.

    Raises:
        ValueError: if it cannot be read.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as picture:
                turned = picture.getexif().get(ExifTags.Base.Orientation, 1) in range(5, 9)
                width, height = picture.size
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(
            f"Expected a picture at '{path}', but it cannot be read: {error}."
        ) from error
    return (height, width) if turned else (width, height)
