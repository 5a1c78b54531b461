"""Find, measure and read image files as mmdet's loader reads them."""

from __future__ import annotations

import os
import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from unicodedata import normalize

import cv2
import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from mmdet_discobox.utils.files import read_regular

_UPRIGHT = cv2.IMREAD_COLOR
_STORED = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
#: of formats that OpenCV reads, GIF and AVIF since 4.11
_SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".tif", ".tiff", ".webp", ".ppm",
    ".pgm", ".pbm", ".pnm", ".jp2", ".gif", ".avif",
)  # fmt: skip


def read_image(path: str | Path, *, size: tuple[float, float] | None = None) -> np.ndarray:
    """Read an image file as 8-bit BGR.

    The conversions are those of ``LoadImageFromFile``: 16 bits are cut to the upper 8, gray becomes
    three equal channels, CMYK is converted, transparency is dropped, and the EXIF orientation is
    applied. With ``size``, the orientation is ignored if only the stored image has that size.

    Args:
        path: image file.
        size: ``(width, height)`` that the boxes refer to; None accepts any size.

    Returns:
        ``(H, W, 3)`` uint8 BGR.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if OpenCV cannot read the file, or the image has another size.
    """
    try:
        content = np.frombuffer(read_regular(path), dtype=np.uint8)
    except OSError as error:
        raise FileNotFoundError(
            f"Expected an image at '{path}', but there is no such file."
        ) from error
    upright = decode_image(content, _UPRIGHT)
    if upright is None:
        raise ValueError(f"Expected an image at '{path}', but OpenCV cannot read it.")
    if size is None or _size_of(upright) == tuple(size):
        return upright
    stored = decode_image(content, _STORED)
    if stored is not None and _size_of(stored) == tuple(size):
        return stored
    width, height = _size_of(upright)
    raise ValueError(
        f"Expected the image '{path}' to have {size[0]} x {size[1]} pixels, as its boxes require, "
        f"but got {width} x {height}. Use the image that was labelled."
    )


def decode_image(content: np.ndarray, flags: int = _UPRIGHT) -> np.ndarray | None:
    """Decode the content of an image file with OpenCV.

    Args:
        content: ``(n,)`` uint8, the bytes of the file.
        flags: flags of ``cv2.imdecode``; the default is that of mmdet's loader.

    Returns:
        ``(H, W, 3)`` uint8 BGR, or the depth and channels that ``flags`` select; None if OpenCV
        cannot decode it.
    """
    if not content.size:
        return None
    try:
        return cv2.imdecode(content, flags)
    except cv2.error:
        return None


def image_size(path: Path) -> tuple[int, int]:
    """Return width and height of an image after its EXIF orientation is applied.

    Only the header is read, unless the orientation swaps width and height: whether the header then
    has the size before or after the rotation depends on the versions of Pillow and OpenCV. Images
    that Pillow does not open, as those of more than 179 million pixels, are read by OpenCV.

    Args:
        path: image file.

    Raises:
        ValueError: if the file cannot be read.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                swapped = image.getexif().get(ExifTags.Base.Orientation, 1) in range(5, 9)
                size = image.size
    except (UnidentifiedImageError, Image.DecompressionBombError):
        return _size_of(read_image(path))
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"Expected an image at '{path}', but cannot read it: {error}.") from error
    return _size_of(read_image(path)) if swapped else size


def is_image_name(name: str) -> bool:
    """Return whether a file is an image by its suffix, in any case; hidden files are none."""
    return name.lower().endswith(_SUFFIXES) and not name.startswith(".")


def list_images(folder: Path) -> list[Path]:
    """List the image files of a folder and its sub-folders, without hidden ones.

    Links to folders are followed. A folder that is reached twice is listed once.

    Args:
        folder: folder to search.

    Returns:
        Paths relative to the folder, sorted.

    Raises:
        ValueError: if there are none.
    """
    found, others = [], 0
    for path, names in _visible_folders(folder):
        images = [Path(path, name).relative_to(folder) for name in names if is_image_name(name)]
        found += images
        others += len(names) - len(images)
    if not found:
        raise ValueError(
            f"Expected images ({', '.join(_SUFFIXES)}) in '{folder}' or its sub-folders, but found "
            f"none among {others} files."
        )
    return sorted(found)


def _visible_folders(root: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield a folder and its sub-folders, those behind links last, each with names of files."""
    waiting, seen = [str(root)], set()
    while waiting:
        for path, folders, names in os.walk(waiting.pop(0)):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            if (real := os.path.realpath(path)) in seen:
                folders.clear()
                continue
            seen.add(real)
            paths = [os.path.join(path, name) for name in folders]
            waiting += filter(os.path.islink, paths)
            yield path, names


def stem(path: PurePath) -> str:
    """Return the name of a file without its suffix, with composed accents.

    macOS decomposes accents in names of files, and most labelling tools compose them.
    """
    return normalize("NFC", path.stem)


def image_names_by_stem(image_dir: Path) -> Mapping[str, list[str]]:
    """Group the names of the image files of a folder by their :func:`stem`."""
    names: dict[str, list[str]] = defaultdict(list)
    for file in sorted(image_dir.iterdir()):
        if is_image_name(file.name):
            names[stem(file)].append(file.name)
    return dict(names)


def find_image(label_file: Path, names_by_stem: Mapping[str, list[str]]) -> str:
    """Return the name of the image file with the same stem as a label file.

    Args:
        label_file: file with the boxes of one image.
        names_by_stem: result of :func:`image_names_by_stem`.

    Raises:
        FileNotFoundError: if there is no such image.
        ValueError: if several images have this stem.
    """
    names = names_by_stem.get(stem(label_file), [])
    if not names:
        raise FileNotFoundError(
            f"Expected an image '{label_file.stem}.*' for '{label_file}' in IMG_DIR, but found "
            "none. Add the image, or remove the label file."
        )
    if len(names) > 1:
        raise ValueError(
            f"Expected one image '{label_file.stem}.*' for '{label_file}' in IMG_DIR, but got "
            f"{names}. Keep the one that was labelled and move the others elsewhere."
        )
    return names[0]


def _size_of(image: np.ndarray) -> tuple[int, int]:
    return image.shape[1], image.shape[0]
