"""Checks for image files that are missing, broken, or of another size or kind than expected.

Images are checked as mmdet's ``LoadImageFromFile`` reads them: by OpenCV, with the EXIF orientation
applied, reduced to 8 bits and three channels.
"""

from __future__ import annotations

import io
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from mmdet_discobox.annotation_files.coco_records import quote
from mmdet_discobox.annotation_files.missing_images import missing_image_hint
from mmdet_discobox.utils.files import read_regular
from mmdet_discobox.utils.images import decode_image
from mmdet_discobox.utils.types import Json

from .findings import Finding, Level, summarize

_Fault = tuple[str, str]  # key of _FAULTS and details
_Size = tuple[float, float]  # width and height

_FAULTS: dict[str, tuple[Level, str, str]] = {
    "missing": ("error", "{count} image files are missing", "Restore them, or fix `file_name`"),
    "unreadable": (
        "error",
        "{count} image files cannot be read by OpenCV, which mmdet loads images with",
        "Save them as JPEG or PNG",
    ),
    "unrotated": (
        "error",
        "{count} images are rotated by their EXIF orientation, but their boxes refer to the stored "
        "image",
        "Remove the EXIF orientation from these files",
    ),
    "size": (
        "error",
        "{count} images have another size than in the json; their boxes do not fit them",
        "Use the images that were labelled, or scale the boxes",
    ),
    "damaged": (
        "warning",
        "{count} images are truncated or damaged and are read only in part",
        "Copy or download them again",
    ),
    "mirrored": (
        "warning",
        "{count} images are rotated or mirrored by their EXIF orientation without a change of size",
        "Check that their boxes fit; if not, remove the EXIF orientation",
    ),
    "depth": (
        "warning",
        "{count} images have more than 8 bits per channel, which are cut to the upper 8: images of "
        "10 or 12 bits become almost black",
        "Rescale them to 8 bits",
    ),
    "cmyk": (
        "warning",
        "{count} images are CMYK, whose colours are only approximated when read",
        "Convert them to RGB: the teacher compares colours",
    ),
    "gray": (
        "note",
        "{count} images are gray and are read as three equal channels",
        "No action needed, but the teacher can compare brightness only",
    ),
    "alpha": (
        "note",
        "{count} images have an alpha channel, which is dropped",
        "No action needed",
    ),
    "upright": (
        "note",
        "{count} images are rotated by their EXIF orientation, as the json expects",
        "No action needed",
    ),
}


def image_findings(
    images: list[Json], image_dir: str | Path, *, on_image: Callable[[], object] | None = None
) -> list[Finding]:
    """Read each image once and compare it with the json.

    Args:
        images: records with ``file_name``, ``width`` and ``height``.
        image_dir: folder that the file names are relative to.
        on_image: called after each image, for a progress bar.
    """
    occurrences: dict[str, list[str]] = defaultdict(list)
    missing: list[str] = []
    with ThreadPoolExecutor() as pool:
        all_faults = pool.map(lambda image: _find_faults(image, image_dir), images)
        for image, faults in zip(images, all_faults, strict=True):
            if on_image is not None:
                on_image()
            for key, details in faults:
                occurrences[key].append(quote(image["file_name"]) + details)
                missing += [image["file_name"]] * (key == "missing")
    findings = []
    for key, (level, text, fix) in _FAULTS.items():
        count = len(occurrences[key])
        if key == "missing" and count:
            fix = _missing_fix(missing, images, image_dir) or fix
        findings += summarize(level, occurrences[key], count=count, text=text, fix=fix)
    return findings


def _missing_fix(missing: list[str], images: list[Json], image_dir: str | Path) -> str | None:
    if hint := missing_image_hint(missing[0], image_dir):
        return hint
    if len(missing) < len(images):
        return None
    return f"Pass the folder that `file_name` is relative to as IMG_DIR, not '{image_dir}'"


def _find_faults(image: Json, image_dir: str | Path) -> list[_Fault]:
    try:
        content = read_regular(Path(image_dir) / image["file_name"])
    except OSError:
        return [("missing", "")]
    pixels = decode_image(np.frombuffer(content, np.uint8))
    if pixels is None:
        return [("unreadable", "")]
    return list(_compare(pixels, content, (image["width"], image["height"])))


def _compare(pixels: np.ndarray, content: bytes, expected: _Size) -> Iterator[_Fault]:
    """Compare the decoded pixels with the header of the file and the size in the json."""
    header = _read_header(content)
    size = (pixels.shape[1], pixels.shape[0])
    if size != expected:
        key = "unrotated" if header.stored_size == expected else "size"
        yield (key, f": {size[0]} x {size[1]}, in the json {expected[0]} x {expected[1]}")
    elif header.stored_size not in (None, size):
        yield ("upright", "")
    elif header.orientation > 1:
        yield ("mirrored", f": orientation {header.orientation}")
    if not header.is_complete:
        yield ("damaged", "")
    if header.mode == "CMYK":
        yield ("cmyk", "")
    yield from _lossy_conversions(content)


def _lossy_conversions(content: bytes) -> Iterator[_Fault]:
    """Find the losses of a conversion to 8 bits and three channels."""
    pixels = decode_image(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        return
    if pixels.dtype != np.uint8:
        yield ("depth", f": {pixels.dtype}")
    if pixels.ndim == 2:
        yield ("gray", "")
    elif pixels.shape[2] == 4:
        yield ("alpha", "")


@dataclass
class _Header:
    """Header of an image file as read by Pillow; the defaults stand for an unknown format."""

    mode: str = ""
    stored_size: _Size | None = None  # before the EXIF orientation is applied
    orientation: int = 1  # upright
    is_complete: bool = True


def _read_header(content: bytes) -> _Header:
    header = _Header()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content)) as image:
                header.mode = image.mode
                value = image.getexif().get(ExifTags.Base.Orientation, 1)
                header.orientation = value if value in range(1, 9) else 1
                header.stored_size = _stored_size(image)
                image.load()
    except (UnidentifiedImageError, Image.DecompressionBombError):
        pass  # a format or size that only OpenCV reads
    except (OSError, SyntaxError, ValueError):
        header.is_complete = False
    return header


def _stored_size(image: Image.Image) -> _Size:
    tags = getattr(image, "tag_v2", {})  # newer versions of Pillow rotate the `size` of a TIFF
    width, height = image.size
    return (
        tags.get(ExifTags.Base.ImageWidth, width),
        tags.get(ExifTags.Base.ImageLength, height),
    )
