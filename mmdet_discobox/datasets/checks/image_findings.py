"""What image files can have against a training: missing, broken, of another size or kind.

Pictures are judged as mmdet's ``LoadImageFromFile`` reads them: with OpenCV, turned upright by
their EXIF orientation, reduced to 8 bits and three channels.
"""

from __future__ import annotations

import io
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from mmdet_discobox.datasets.coco_records import quote
from mmdet_discobox.datasets.pictures import decode
from mmdet_discobox.utils.types import Json

from .findings import Finding, Level, found

Observation = tuple[str, str]  # kind and particulars
Size = tuple[float, float]  # width and height

_KINDS: dict[str, tuple[Level, str, str]] = {
    "missing": ("error", "{count} image files are missing", "Restore them, or mend `file_name`"),
    "unreadable": (
        "error",
        "{count} image files cannot be read by OpenCV, with which mmdet loads pictures",
        "Save them as JPEG or PNG",
    ),
    "unrotated": (
        "error",
        "{count} pictures are turned upright by their EXIF orientation, but their boxes are for "
        "the picture as it is stored",
        "Remove the EXIF orientation from these files",
    ),
    "size": (
        "error",
        "{count} pictures have another size than the json says; their boxes do not fit them",
        "Use the pictures that were labelled, or scale the boxes",
    ),
    "damaged": (
        "warning",
        "{count} pictures end early or are damaged, and only a part of them is read",
        "Copy or download them again",
    ),
    "mirrored": (
        "warning",
        "{count} pictures are turned or mirrored by their EXIF orientation without a change of "
        "size",
        "Look whether their boxes fit; if not, remove the EXIF orientation",
    ),
    "depth": (
        "warning",
        "{count} pictures have more than 8 bits a channel, which are cut to the upper 8: pictures "
        "of 10 or 12 bits become almost black",
        "Stretch them to 8 bits yourself",
    ),
    "cmyk": (
        "warning",
        "{count} pictures are CMYK; their colours are only roughly right when read",
        "Convert them to RGB: the teacher compares colours",
    ),
    "gray": (
        "note",
        "{count} pictures are gray and are read as three equal channels",
        "Nothing to do, but the teacher then sees brightness alone",
    ),
    "alpha": ("note", "{count} pictures have transparency, which is dropped", "Nothing to do"),
    "upright": (
        "note",
        "{count} pictures are turned upright by their EXIF orientation, as the json expects",
        "Nothing to do",
    ),
}


def image_findings(
    images: list[Json], image_dir: str | Path, *, progress: Iterable[object] | None = None
) -> list[Finding]:
    """Read every picture once and compare it with the json.

    Args:
        images: records with ``file_name``, ``width`` and ``height``.
        image_dir: folder that the names are relative to.
        progress: iterated once for each picture, for a progress bar.
    """
    places: dict[str, list[str]] = defaultdict(list)
    steps = iter(progress if progress is not None else images)
    with ThreadPoolExecutor() as pool:
        for image, observations in zip(
            images, pool.map(lambda i: observe(i, image_dir), images), strict=True
        ):
            next(steps, None)
            for kind, particulars in observations:
                places[kind].append(quote(image["file_name"]) + particulars)
    findings = []
    for kind, (level, text, mend) in _KINDS.items():
        findings += found(level, places[kind], count=len(places[kind]), text=text, mend=mend)
    return findings


def observe(image: Json, image_dir: str | Path) -> list[Observation]:
    """Find what is odd about one picture.

    Args:
        image: its record.
        image_dir: folder of the files.

    Returns:
        Kinds of :data:`_KINDS` and the particulars, such as sizes.
    """
    try:
        content = (Path(image_dir) / image["file_name"]).read_bytes()
    except (OSError, ValueError):  # a name with a null byte is a ValueError
        return [("missing", "")]
    pixels = decode(np.frombuffer(content, np.uint8))
    if pixels is None:
        return [("unreadable", "")]
    return list(_oddities(pixels, content, (image["width"], image["height"])))


def _oddities(pixels: np.ndarray, content: bytes, wanted: Size) -> Iterator[Observation]:
    header = _header(content)
    size = (pixels.shape[1], pixels.shape[0])
    if size != wanted:
        kind = "unrotated" if header.stored == wanted else "size"
        yield (kind, f": is {size[0]} x {size[1]}, the json says {wanted[0]} x {wanted[1]}")
    elif header.stored not in (None, size):
        yield ("upright", "")
    elif header.orientation > 1:
        yield ("mirrored", f": orientation {header.orientation}")
    if not header.is_whole:
        yield ("damaged", "")
    if header.mode == "CMYK":
        yield ("cmyk", "")
    yield from _reductions(content)


def _reductions(content: bytes) -> Iterator[Observation]:
    """What is lost in 8 bits and three channels."""
    pixels = decode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
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
    """What Pillow tells of a file: colours, size, EXIF orientation, and whether it is whole."""

    mode: str = ""
    stored: Size | None = None  # before the turn
    orientation: int = 1  # upright
    is_whole: bool = True


def _header(content: bytes) -> _Header:
    header = _Header()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content)) as picture:
                header.mode = picture.mode
                value = picture.getexif().get(ExifTags.Base.Orientation, 1)
                header.orientation = value if value in range(1, 9) else 1
                header.stored = _stored_size(picture)
                picture.load()
    except (UnidentifiedImageError, Image.DecompressionBombError):
        pass  # of a kind or size that OpenCV alone reads
    except (OSError, SyntaxError, ValueError):
        header.is_whole = False
    return header


def _stored_size(picture: Image.Image) -> Size:
    tags = getattr(picture, "tag_v2", {})  # of a TIFF, whose `size` newer versions of Pillow turn
    width, height = picture.size
    return (
        tags.get(ExifTags.Base.ImageWidth, width),
        tags.get(ExifTags.Base.ImageLength, height),
    )
