"""Read the pairs of PF-PASCAL, in each of its two layouts.

==========================  ==========================================================
``PF-PASCAL/``              ``{trn,val,test}_pairs.csv``, ``JPEGImages/<image>.jpg``,
                            ``Annotations/<class>/<image>.mat``
``PF-dataset-PASCAL/``      the two folders alone, with the csv files of another project
==========================  ==========================================================

Columns are told by their number: source, target, class (1 to 20) and ``flip``; or source, target,
class and the coordinates ``XA, YA, XB, YB``, separated by semicolons. Both the csv and the
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

from mmdet_discobox.utils.paths import require_paths
from mmdet_discobox.utils.voc import VOC_CLASSES

from .csv_rows import Row, find_images, read_rows
from .keypoint_pair import KeypointImage, KeypointPair, read_size

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
        pairs_csv: List of pairs.
        root: ``PF-PASCAL`` or ``PF-dataset-PASCAL``, or the folder above.
        csv_long_side: Long side, in pixels, of the pictures that the coordinates of the csv are
            meant for; None if for the files as they are. There are lists for pictures of 300 pixels
            (the coordinates of the validation pairs); their points are scaled to the files, whose
            headers are then read.
        annotations: Take the points from the ``.mat`` files even if the csv has coordinates. They
            have the boxes as well, and key points that only one picture shows. A csv without
            coordinates always needs them.

    Returns:
        The pairs in the order of the csv. Boxes are None where the points are those of the csv.

    Raises:
        FileNotFoundError: If the csv, pictures or annotations are missing.
        ValueError: If a file is not as published, or `csv_long_side` not positive.
    """
    if csv_long_side is not None and not csv_long_side > 0:
        raise ValueError(f"Expected `csv_long_side` above 0 pixels, but got {csv_long_side}.")
    rows = list(read_rows(pairs_csv, source=_SOURCE))
    for row in rows:
        _check_row(row)
    names = dict.fromkeys(name for row in rows for name in row.cells[:2])
    paths = find_images(root, names, source=_SOURCE)
    if annotations or any(len(row.cells) == 4 for row in rows):
        sides = _annotated_sides(rows, paths)
    else:
        sides = _csv_sides(rows, paths, csv_long_side)
        if csv_long_side is None:
            _warn_of_small_coordinates(str(pairs_csv), sides)
    return [_pair(row, *two) for row, two in zip(rows, sides, strict=True)]


def read_pf_pascal_annotation(path: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Read an annotation of a picture.

    Args:
        path: ``Annotations/<class>/<image>.mat``.

    Returns:
        Key points ``(K, 2)``, NaN where absent, and the box ``(4,)``, both 0-based.

    Raises:
        ValueError: If the file has no ``kps`` of shape (K, 2) or no ``bbox`` of shape (1, 4).
    """
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
        raise row.fail(f"the columns {_COLUMNS}")
    if row.cells[2] not in classes:
        raise row.fail("a class from 1 to 20")
    if len(row.cells) == 4 and row.cells[3] not in ("0", "1"):
        raise row.fail("0 or 1 as `flip`")


def _class_of(row: Row) -> str:
    return VOC_CLASSES[int(row.cells[2]) - 1]


def _pair(row: Row, source: KeypointImage, target: KeypointImage) -> KeypointPair:
    flip = len(row.cells) == 4 and row.cells[3] == "1"
    pair_id = f"{source.path.stem}-{target.path.stem}:{_class_of(row)}{'-flip' if flip else ''}"
    return KeypointPair(pair_id, _class_of(row), source, target, flip)


def _annotated_sides(rows: list[Row], paths: dict[str, Path]) -> list[list[KeypointImage]]:
    """Read each annotation once: a picture is in several pairs."""
    keys = [[(_class_of(row), name) for name in row.cells[:2]] for row in rows]
    unique = dict.fromkeys(key for two in keys for key in two)
    files = {key: _annotation_path(paths[key[1]], key[0]) for key in unique}
    require_paths(files.values(), source=_SOURCE)
    images = {key: _annotated_image(paths[key[1]], file) for key, file in files.items()}
    return [[images[key] for key in two] for two in keys]


def _annotation_path(image: Path, class_name: str) -> Path:
    return image.parent.parent / "Annotations" / class_name / f"{image.stem}.mat"


def _annotated_image(path: Path, annotation: Path) -> KeypointImage:
    points, box = read_pf_pascal_annotation(annotation)
    return KeypointImage(path, points, ~np.isnan(points.sum(axis=1)), box)


def _csv_sides(
    rows: list[Row], paths: dict[str, Path], long_side: float | None
) -> list[list[KeypointImage]]:
    return [
        [
            _csv_image(paths[row.cells[side]], row, 3 + 2 * side, long_side)
            for side in range(2)
        ]
        for row in rows
    ]  # fmt: skip


def _csv_image(path: Path, row: Row, column: int, long_side: float | None) -> KeypointImage:
    x, y = (row.cells[place].split(";") for place in (column, column + 1))
    points = row.points(x, y)
    visible = np.ones(len(points), bool)
    if long_side is not None:
        points *= max(read_size(path)) / long_side
    return KeypointImage(path, points - 1, visible)


def _warn_of_small_coordinates(name: str, sides: list[list[KeypointImage]]) -> None:
    """Warn where all points lie within 300 pixels though all pictures are larger."""
    images = [image for two in sides for image in two]
    largest = max((image.points.max() for image in images if len(image.points)), default=np.inf)
    if largest <= 300 and all(max(image.size) > 300 for image in images):
        print_log(
            f"No point of '{name}' is beyond 300 pixels, but all pictures are larger: its "
            "coordinates seem to be for pictures of 300 pixels. If so, set `csv_long_side=300`.",
            logger="current",
            level=logging.WARNING,
        )
