"""Read the pairs of PF-PASCAL in both of its layouts.

==========================  ==========================================================
``PF-PASCAL/``              ``{trn,val,test}_pairs.csv``, ``JPEGImages/<image>.jpg``,
                            ``Annotations/<class>/<image>.mat``
``PF-dataset-PASCAL/``      the two folders alone, with the csv files of another project
==========================  ==========================================================

A csv with four columns has source, target, class (1 to 20) and ``flip``; one with seven has source,
target, class and the coordinates ``XA, YA, XB, YB``, separated by semicolons. Both the csv and the
``.mat`` files are 1-based.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
from mmengine.logging import print_log
from numpy.typing import NDArray
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from mmdet_discobox.utils.images import image_size
from mmdet_discobox.utils.paths import require_paths
from mmdet_discobox.utils.voc import VOC_CLASSES

from .csv_rows import Row, find_images, read_rows
from .keypoint_pair import KeypointImage, KeypointPair

_SOURCE = (
    "PF-PASCAL is at https://www.di.ens.fr/willow/research/proposalflow/, its lists of pairs are "
    "in the repository ignacio-rocco/ncnet, both together in the pack of juhongm999/hpf."
)
_COLUMNS = "source, target, class and either `flip` (0 or 1) or `XA`, `YA`, `XB`, `YB`"


def read_pf_pascal(
    pairs_csv: str | Path,
    root: str | Path,
    *,
    csv_long_side: float | None = None,
    annotations: bool = False,
) -> list[KeypointPair]:
    """Read a list of pairs with their key points.

    Args:
        pairs_csv: list of pairs.
        root: ``PF-PASCAL`` or ``PF-dataset-PASCAL``, or the folder above.
        csv_long_side: long side in pixels of the images that the coordinates of the csv refer to;
            points are scaled from it to the size of the files. None if they refer to the files. The
            published validation list refers to images of 300 pixels.
        annotations: whether to read points from the ``.mat`` files even if the csv has coordinates.
            These files also have boxes, and key points visible in only one image. A csv without
            coordinates always reads them.

    Returns:
        The pairs in the order of the csv. Boxes are None if the points are read from the csv.

    Raises:
        FileNotFoundError: if the csv, images or annotations are missing.
        ValueError: if a file differs from the published form, or `csv_long_side` is not positive.
    """
    if csv_long_side is not None and not csv_long_side > 0:
        raise ValueError(f"Expected `csv_long_side` above 0 pixels, but got {csv_long_side}.")
    rows = list(read_rows(pairs_csv, source=_SOURCE))
    for row in rows:
        _check_row(row)
    names = dict.fromkeys(name for row in rows for name in row.cells[:2])
    paths = find_images(root, names, source=_SOURCE)
    if annotations or any(len(row.cells) == 4 for row in rows):
        images = _annotated_images(rows, paths)
    else:
        images = _csv_images(rows, paths, csv_long_side)
        if csv_long_side is None:
            _warn_of_small_coordinates(str(pairs_csv), images)
    return [_pair(row, *both) for row, both in zip(rows, images, strict=True)]


def _read_annotation(path: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Read key points ``(K, 2)``, NaN if absent, and the box ``(4,)``, both 0-based."""
    try:
        content = loadmat(path)
    except (MatReadError, TypeError, ValueError) as error:
        raise ValueError(f"Expected '{path}' to be a MATLAB file, but got {error}.") from error
    shapes = {key: np.shape(content.get(key)) for key in ("kps", "bbox")}
    if len(shapes["kps"]) != 2 or shapes["kps"][1] != 2 or shapes["bbox"] != (1, 4):
        raise ValueError(
            f"Expected '{path}' to have `kps` of shape (K, 2) and `bbox` of shape (1, 4), but got "
            f"{shapes['kps']} and {shapes['bbox']}. {_SOURCE}"
        )
    return content["kps"].astype(np.float64) - 1, content["bbox"][0].astype(np.float64) - 1


def _check_row(row: Row) -> None:
    classes = [str(number) for number in range(1, len(VOC_CLASSES) + 1)]
    if len(row.cells) not in (4, 7):
        raise row.error(f"the columns {_COLUMNS}")
    if row.cells[2] not in classes:
        raise row.error("a class from 1 to 20")
    if len(row.cells) == 4 and row.cells[3] not in ("0", "1"):
        raise row.error("0 or 1 as `flip`")


def _class_of(row: Row) -> str:
    return VOC_CLASSES[int(row.cells[2]) - 1]


def _pair(row: Row, source: KeypointImage, target: KeypointImage) -> KeypointPair:
    flip = len(row.cells) == 4 and row.cells[3] == "1"
    pair_id = f"{source.path.stem}-{target.path.stem}:{_class_of(row)}{'-flip' if flip else ''}"
    return KeypointPair(pair_id, _class_of(row), source, target, flip)


def _annotated_images(rows: list[Row], paths: dict[str, Path]) -> list[list[KeypointImage]]:
    """Read source and target of each row; reads each annotation once."""
    keys = [[(_class_of(row), name) for name in row.cells[:2]] for row in rows]
    unique = dict.fromkeys(key for both in keys for key in both)
    files = {key: _annotation_path(paths[key[1]], key[0]) for key in unique}
    require_paths(files.values(), source=_SOURCE)
    images = {key: _annotated_image(paths[key[1]], file) for key, file in files.items()}
    return [[images[key] for key in both] for both in keys]


def _annotation_path(image: Path, class_name: str) -> Path:
    return image.parent.parent / "Annotations" / class_name / f"{image.stem}.mat"


def _annotated_image(path: Path, annotation: Path) -> KeypointImage:
    points, box = _read_annotation(annotation)
    return KeypointImage(path, points, ~np.isnan(points.sum(axis=1)), box)


def _csv_images(
    rows: list[Row], paths: dict[str, Path], long_side: float | None
) -> list[list[KeypointImage]]:
    return [
        [_csv_image(paths[row.cells[side]], row, 3 + 2 * side, long_side) for side in range(2)]
        for row in rows
    ]


def _csv_image(path: Path, row: Row, column: int, long_side: float | None) -> KeypointImage:
    x, y = (row.cells[place].split(";") for place in (column, column + 1))
    points = row.points(x, y)
    visible = np.ones(len(points), bool)
    if long_side is not None:
        points *= max(image_size(path)) / long_side
    return KeypointImage(path, points - 1, visible)


def _warn_of_small_coordinates(name: str, pairs: list[list[KeypointImage]]) -> None:
    """Warn if all points are within 300 pixels although all images are larger."""
    images = [image for both in pairs for image in both]
    largest = max((image.points.max() for image in images if len(image.points)), default=np.inf)
    if largest <= 300 and all(max(image.size) > 300 for image in images):
        print_log(
            f"No point of '{name}' is beyond 300 pixels, but all images are larger: its "
            "coordinates seem to refer to images of 300 pixels. If so, set `csv_long_side=300`.",
            logger="current",
            level=logging.WARNING,
        )
