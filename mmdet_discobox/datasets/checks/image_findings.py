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
from pathlib import Path

import cv2
import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from mmdet_discobox.datasets.coco_records import Json, quote

from .findings import Finding, Level, found

Observation = tuple[str, str]  # kind and particulars

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
    pixels = _decode(content)
    if pixels is None:
        return [("unreadable", "")]
    return list(_oddities(pixels, content, (image["width"], image["height"])))


def _oddities(
    pixels: np.ndarray, content: bytes, wanted: tuple[float, float]
) -> Iterator[Observation]:
    mode, orientation, is_whole = _header(content)
    stored = (pixels.shape[1], pixels.shape[0])
    size = stored[::-1] if orientation >= 5 else stored
    if size != wanted:
        kind = "unrotated" if stored == wanted else "size"
        yield (kind, f": is {size[0]} x {size[1]}, the json says {wanted[0]} x {wanted[1]}")
    elif orientation >= 5:
        yield ("upright", "")
    elif orientation > 1:
        yield ("mirrored", f": orientation {orientation}")
    if not is_whole:
        yield ("damaged", "")
    if pixels.dtype != np.uint8:
        yield ("depth", f": {pixels.dtype}")
    if mode == "CMYK":
        yield ("cmyk", "")
    if pixels.ndim == 2:
        yield ("gray", "")
    elif pixels.shape[2] == 4:
        yield ("alpha", "")


def _decode(content: bytes) -> np.ndarray | None:
    """Pixels as they are stored, or None."""
    if not content:
        return None
    try:
        return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None


def _header(content: bytes) -> tuple[str, int, bool]:
    """Colour mode, EXIF orientation (1 is upright), and whether the picture is whole."""
    mode, orientation = "", 1
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content)) as picture:
                mode = picture.mode
                value = picture.getexif().get(ExifTags.Base.Orientation, 1)
                orientation = value if value in range(1, 9) else 1
                picture.load()
    except (UnidentifiedImageError, Image.DecompressionBombError):
        return mode, orientation, True  # of a kind or size that OpenCV alone reads
    except (OSError, SyntaxError, ValueError):
        return mode, orientation, False
    return mode, orientation, True
