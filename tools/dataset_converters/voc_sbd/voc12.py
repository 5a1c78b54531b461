"""Read the instance masks of VOC 2012."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from mmdet_discobox.utils.paths import require_files, require_paths
from mmdet_discobox.utils.voc import VOC_CLASSES

from .instances import VOID, Instances

SOURCE = (
    "VOC 2012 comes from http://host.robots.ox.ac.uk/pascal/VOC/voc2012/ "
    "(VOCtrainval_11-May-2012.tar); its folder is 'VOCdevkit/VOC2012'."
)


def read_names(path: Path, *, source: str) -> set[str]:
    """Read a list of images with a name at the start of each line.

    Args:
        path: file of the list.
        source: origin of the list, for the error.

    Raises:
        FileNotFoundError: if the file does not exist.
    """
    require_paths([path], source=source)
    return {line.split()[0] for line in path.read_text("utf-8").splitlines() if line.strip()}


def read_voc_names(root: Path, split: str) -> set[str]:
    """Read the list of images with masks of the split "train" or "val"."""
    return read_names(root / "ImageSets" / "Segmentation" / f"{split}.txt", source=SOURCE)


def require_voc_files(root: Path, *, images: Iterable[str], masks: Iterable[str]) -> None:
    """Raise a FileNotFoundError if images or masks are missing."""
    require_files(root / "JPEGImages", [f"{name}.jpg" for name in images], source=SOURCE)
    pngs = [f"{name}.png" for name in masks]
    for folder in ("SegmentationObject", "SegmentationClass"):
        require_files(root / folder, pngs, source=SOURCE)


def read_voc_instances(root: Path, name: str) -> Instances:
    """Read the instances of an image.

    ``SegmentationObject`` has the indices of the instances, ``SegmentationClass`` the class of each
    pixel; the class of an instance is that of most of its pixels.

    Args:
        root: folder ``VOCdevkit/VOC2012``.
        name: name of the image, without extension.

    Returns:
        The instances; the border between them is void.

    Raises:
        ValueError: if a file is no image of indices, or the two files do not fit each other.
    """
    objects_path = root / "SegmentationObject" / f"{name}.png"
    classes_path = root / "SegmentationClass" / f"{name}.png"
    objects, classes = _read_indices(objects_path), _read_indices(classes_path)
    if objects.shape != classes.shape:
        raise ValueError(
            f"Expected '{objects_path}' and '{classes_path}' to have one size, but got (height, "
            f"width) {objects.shape} and {classes.shape}. Unpack the set again."
        )
    pairs = np.bincount(
        objects.ravel().astype(np.int64) * 256 + classes.ravel(), minlength=256 * 256
    )
    pixels = pairs.reshape(256, 256)[:, 1 : len(VOC_CLASSES) + 1]  # (index, class)
    present = [index for index in np.unique(objects).tolist() if index not in (0, VOID)]
    if unknown := [index for index in present if not pixels[index].any()]:
        raise ValueError(
            f"Expected each instance of '{objects_path}' to have a class from 1 to "
            f"{len(VOC_CLASSES)} in '{classes_path}', but {unknown} have none. Unpack the "
            "set again."
        )
    return Instances(objects, {index: int(pixels[index].argmax()) + 1 for index in present})


def read_image_size(root: Path, name: str) -> tuple[int, int]:
    """Read height and width of an image without decoding it."""
    with _open(root / "JPEGImages" / f"{name}.jpg") as image:
        return image.height, image.width


def _read_indices(path: Path) -> npt.NDArray[np.uint8]:
    """Read the indices of a palette image, which OpenCV would convert to colours."""
    with _open(path) as image:
        if image.mode not in ("P", "L"):
            raise ValueError(
                f"Expected '{path}' to be a palette image of indices, but its mode is "
                f"{image.mode!r}. Some tools save colours; use the file as downloaded. {SOURCE}"
            )
        return np.asarray(image)


@contextmanager
def _open(path: Path) -> Iterator[Image.Image]:
    try:
        with Image.open(path) as image:
            yield image
    except OSError as error:
        raise ValueError(
            f"Expected an image at '{path}', but got: {error}. Unpack the set again. {SOURCE}"
        ) from error
