"""Read PASCAL 3D+ (release 1.1): boxes, key points and orientations of 12 rigid classes.

The data set is used as downloaded. These of its files are read::

    Annotations/<class>_pascal/<name>.mat
    PASCAL/VOCdevkit/VOC2012/ImageSets/Main/<class>_val.txt

Conventions where the files leave a choice:

* The split is that of VOC12: the names in ``<class>_val.txt`` that have an annotation. The ImageNet
  images of the data set are not part of the paper's benchmark.
* A file of a class lists all objects of the image, those of other classes without key points and
  viewpoint: only the objects of its class are read.
* A key point is visible if its ``status`` is 1. Objects marked as difficult are kept.
* Coordinates are 1-based as in MATLAB; 1 is subtracted, so that the first pixel is at 0.
* The fine viewpoint is used if it is set: present, with a ``distance`` and an angle other than 0.
  The fallback is the coarse azimuth and elevation, without roll.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.utils import track_iter_progress
from numpy.typing import NDArray
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from mmdet_discobox.datasets.multi_object import KeypointObjects

from .orientations import rotations_from_viewpoints

RIGID_CLASSES = (
    "aeroplane", "bicycle", "boat", "bottle", "bus", "car",
    "chair", "diningtable", "motorbike", "sofa", "train", "tvmonitor",
)  # fmt: skip
"""The classes of PASCAL 3D+."""

_SPLITS = Path("PASCAL", "VOCdevkit", "VOC2012", "ImageSets", "Main")
_VISIBLE = 1
#: what reading a file raises that was cut or altered
_DAMAGED = (
    AttributeError, IndexError, KeyError, MatReadError, NotImplementedError, OSError, TypeError,
    ValueError, zlib.error,
)  # fmt: skip


def read_pascal3d(
    root: str | Path, *, split: str = "val", classes: Sequence[str] = RIGID_CLASSES
) -> KeypointObjects:
    """Read the objects of a VOC12 split.

    Args:
        root: the folder ``PASCAL3D+_release1.1``.
        split: ``val`` as in the paper, ``train`` or ``trainval``.
        classes: classes to read.

    Returns:
        The objects, with image paths relative to ``root``; the key points of a class are sorted by
        name.

    Raises:
        FileNotFoundError: if a folder or list is missing.
        ValueError: if an annotation cannot be read.
    """
    root = Path(root)
    files = [
        (label, path) for label, name in enumerate(classes) for path in _files(root, name, split)
    ]
    images: dict[str, str] = {}
    records = []
    for label, path in track_iter_progress(files):
        images.setdefault(path.stem, f"Images/{path.parent.name}/{path.stem}.jpg")
        for record in read_pascal3d_annotation(path, name=classes[label]):
            records.append({**record, "image": path.stem, "label": label})
    numbers = _number_keypoints(records, len(classes))
    places = {name: place for place, name in enumerate(sorted(images))}
    for record in records:
        number = numbers[record["label"]]
        record["image"] = places[record["image"]]
        record["keypoints"] = {number[name]: xy for name, xy in record["keypoints"].items()}
    return KeypointObjects.from_records(
        records,
        images=[images[name] for name in sorted(images)],
        classes=classes,
        num_keypoints=max((len(number) for number in numbers), default=0),
    )


def read_pascal3d_annotation(path: str | Path, *, name: str) -> list[dict[str, Any]]:
    """Read the objects of one class from one file.

    Args:
        path: A file ``Annotations/<class>_pascal/<name>.mat``.
        name: the class.

    Returns:
        For each object ``box`` (4 numbers), ``keypoints``, a mapping from the names of visible key
        points to ``(x, y)``, and ``rotation``, ``(3, 3)`` or None if unknown.

    Raises:
        ValueError: if the file is not such an annotation.
    """
    try:
        record = loadmat(path, struct_as_record=False, squeeze_me=True)["record"]
        objects = np.atleast_1d(record.objects)
        return [_read_object(item) for item in objects if getattr(item, "class") == name]
    except _DAMAGED as error:
        raise ValueError(
            f"Expected an annotation of PASCAL 3D+ release 1.1 in '{path}', but reading it failed: "
            f"{error!r}. Unpack the file again."
        ) from error


def _files(root: Path, name: str, split: str) -> list[Path]:
    """Find the annotations of one class in a split."""
    names, folder = root / _SPLITS / f"{name}_{split}.txt", root / "Annotations" / f"{name}_pascal"
    if not names.is_file():
        raise _missing(names)
    listed = (line.split()[0] for line in names.read_text().splitlines() if line.strip())
    files = [path for path in (folder / f"{item}.mat" for item in listed) if path.is_file()]
    if not files:
        raise _missing(folder / "*.mat")
    return files


def _missing(path: Path) -> FileNotFoundError:
    return FileNotFoundError(
        f"Expected PASCAL 3D+ release 1.1, but '{path}' is missing. Get "
        "PASCAL3D+_release1.1.zip from https://cvgl.stanford.edu/projects/pascal3d.html "
        "and pass the unpacked folder."
    )


def _read_object(item: Any) -> dict[str, Any]:
    box = np.asarray(item.bbox, np.float64)
    if box.shape != (4,):
        raise ValueError(f"`bbox` has shape {box.shape} instead of (4,)")
    anchors = {name: getattr(item.anchors, name) for name in _field_names(item.anchors)}
    keypoints = {name: _location(anchor) for name, anchor in anchors.items()}
    return {
        "box": box - 1.0,
        "keypoints": {name: xy for name, xy in keypoints.items() if xy is not None},
        "rotation": _rotation(item.viewpoint),
    }


def _location(anchor: Any) -> NDArray[np.float64] | None:
    location = np.asarray(getattr(anchor, "location", ()), np.float64)
    return location - 1.0 if _number(anchor, "status") == _VISIBLE and location.size == 2 else None


def _rotation(viewpoint: Any) -> NDArray[np.float64] | None:
    angles = [_number(viewpoint, name) for name in ("azimuth", "elevation", "theta")]
    annotated = any(angles) and _number(viewpoint, "distance") != 0
    if np.isnan(angles).any() or not annotated:
        angles = [_number(viewpoint, name) for name in ("azimuth_coarse", "elevation_coarse")]
        angles.append(0.0)
    return None if np.isnan(angles).any() else rotations_from_viewpoints(*angles)


def _number(struct: Any, name: str) -> float:
    """Return a field of a MATLAB struct, NaN if it is missing or empty."""
    value = np.asarray(getattr(struct, name, ()), np.float64)
    return float(value.item()) if value.size == 1 else float("nan")


def _field_names(struct: Any) -> Sequence[str]:
    """Return the field names of a struct; none for an empty array, MATLAB's missing struct."""
    names: Sequence[str] = getattr(struct, "_fieldnames", ())
    return names


def _number_keypoints(records: Iterable[dict[str, Any]], count: int) -> list[dict[str, int]]:
    """Number the key points of each class in the sorted order of their names."""
    names: list[set[str]] = [set() for _ in range(count)]
    for record in records:
        names[record["label"]].update(record["keypoints"])
    return [{name: number for number, name in enumerate(sorted(found))} for found in names]
