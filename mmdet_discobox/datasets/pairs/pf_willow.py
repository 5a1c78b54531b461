"""Read the pairs of PF-WILLOW.

``test_pairs.csv`` exists in two forms. One has source, target, class and the coordinates
``XA, YA, XB, YB``, separated by semicolons; the other has source, target and 40 columns, ten ``x``
and ten ``y`` of the source, then of the target. The class is the folder of the image, and the
coordinates are 1-based and equal those of the ``.mat`` files.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from .csv_rows import Row, find_images, read_rows
from .keypoint_pair import KeypointImage, KeypointPair

_SOURCE = (
    "PF-WILLOW is at https://www.di.ens.fr/willow/research/proposalflow/, its list of pairs in "
    "the pack of juhongm999/hpf."
)
_NUM_POINTS = 10


def read_pf_willow(pairs_csv: str | Path, root: str | Path) -> list[KeypointPair]:
    """Read a list of pairs with their 10 key points.

    Args:
        pairs_csv: list of pairs.
        root: ``PF-WILLOW`` or ``PF-dataset-WILLOW``, or the folder above.

    Returns:
        The pairs in the order of the csv. The data set has no boxes: the ``bbox`` threshold of
        papers is the extent of the key points.

    Raises:
        FileNotFoundError: if the csv or images are missing.
        ValueError: if a row differs from the published form.
    """
    rows = list(read_rows(pairs_csv, source=_SOURCE))
    coordinates = [_coordinates(row) for row in rows]
    names = dict.fromkeys(name for row in rows for name in row.cells[:2])
    paths = find_images(root, names, source=_SOURCE)
    return [_pair(row, xy, paths) for row, xy in zip(rows, coordinates, strict=True)]


def _coordinates(row: Row) -> list[list[str]]:
    """Return the cells of x and y of the source, then of the target."""
    if len(row.cells) == 7:
        columns = [cell.split(";") for cell in row.cells[3:]]
    else:
        starts = range(2, len(row.cells), _NUM_POINTS)
        columns = [row.cells[start : start + _NUM_POINTS] for start in starts]
    if [len(column) for column in columns] != [_NUM_POINTS] * 4:
        raise row.error(f"two images and {_NUM_POINTS} key points for each (7 or 42 columns)")
    return columns


def _pair(row: Row, coordinates: list[list[str]], paths: dict[str, Path]) -> KeypointPair:
    xa, ya, xb, yb = coordinates
    source = _image(row, paths[row.cells[0]], xa, ya)
    target = _image(row, paths[row.cells[1]], xb, yb)
    class_name = source.path.parent.name
    pair_id = f"{source.path.stem}-{target.path.stem}:{class_name}"
    return KeypointPair(pair_id, class_name, source, target)


def _image(row: Row, path: Path, x: Iterable[str], y: Iterable[str]) -> KeypointImage:
    return KeypointImage(path, row.points(x, y) - 1, np.ones(_NUM_POINTS, bool))
