"""Read the instance masks of the Semantic Boundaries Dataset (SBD)."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from mmdet_discobox.utils.paths import require_files
from mmdet_discobox.utils.voc import VOC_CLASSES

from .instances import VOID, Instances
from .voc12 import read_names

SOURCE = (
    "SBD comes from http://home.bharathh.info/pubs/codes/SBD/download.html (benchmark.tgz); its "
    "folder is 'benchmark_RELEASE/dataset'."
)


def read_sbd_names(root: Path) -> set[str]:
    """Read the names of the images in SBD's training and validation lists."""
    lists = [root / "train.txt", root / "val.txt"]
    return set().union(*(read_names(path, source=SOURCE) for path in lists))


def require_sbd_files(root: Path, *, masks: Iterable[str]) -> None:
    """Raise a FileNotFoundError if the masks of some images are missing."""
    require_files(root / "inst", [f"{name}.mat" for name in masks], source=SOURCE)


def read_sbd_instances(root: Path, name: str) -> Instances:
    """Read the instances of an image.

    The file contains a struct ``GTinst`` with ``Segmentation``, ``(H, W)`` indices of the instances
    from 1, and ``Categories``, ``(N, 1)`` classes of the indices.

    Args:
        root: folder ``benchmark_RELEASE/dataset``.
        name: name of the image, without extension.

    Returns:
        The instances. Unlike those of VOC, they have no void border.

    Raises:
        ValueError: if the file cannot be read, or has another content.
    """
    path = root / "inst" / f"{name}.mat"
    try:
        record = loadmat(path, variable_names=["GTinst"])["GTinst"]
        indices = np.asarray(record["Segmentation"][0, 0])
        categories = np.asarray(record["Categories"][0, 0]).ravel().tolist()
    except (
        KeyError,
        IndexError,
        TypeError,
        ValueError,
        OSError,
        MatReadError,
        zlib.error,
    ) as error:
        raise ValueError(
            f"Expected '{path}' to be a .mat file with the struct GTinst, but got: {error!r}. "
            f"Unpack the set again. {SOURCE}"
        ) from error
    classes = {index: int(category) for index, category in enumerate(categories, start=1)}
    present = [int(index) for index in np.unique(indices) if index not in (0, VOID)]
    known = range(1, len(VOC_CLASSES) + 1)
    if unknown := [index for index in present if classes.get(index) not in known]:
        raise ValueError(
            f"Expected each instance of '{path}' to have a class from 1 to {len(VOC_CLASSES)}, but "
            f"instances {unknown} have none; its Categories are {categories}. {SOURCE}"
        )
    return Instances(indices.astype(np.uint8), classes)
