"""Read the csv files of pairs of the Proposal Flow data sets."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmdet_discobox.utils.paths import require_paths


@dataclass(frozen=True)
class Row:
    """A row below the header.

    Attributes:
        where: location for errors, for example ``row 3 of 'val_pairs.csv'``.
        cells: cells without surrounding spaces.
    """

    where: str
    cells: list[str]

    def error(self, expected: str) -> ValueError:
        """Build the error for an invalid row."""
        cells = str(self.cells)
        cells = cells if len(cells) <= 200 else f"{cells[:197]}..."
        return ValueError(
            f"Expected {self.where} to have {expected}, but got {cells}. Use the csv as published."
        )

    def points(self, x: Iterable[str], y: Iterable[str]) -> NDArray[np.float64]:
        """Parse ``K`` cells of x and of y as points ``(K, 2)``."""
        try:
            points = np.array([*zip(x, y, strict=True)], dtype=np.float64).reshape(-1, 2)
        except ValueError:
            raise self.error("as many x as y, all numbers") from None
        if not np.isfinite(points).all():
            raise self.error("finite coordinates")
        return points


def read_rows(path: str | Path, *, source: str) -> Iterator[Row]:
    """Read the non-empty rows of a csv with one header line.

    Args:
        path: the csv.
        source: origin of the data set, for the error about a missing file.
    """
    require_paths([Path(path)], source=source)
    with open(path, encoding="utf-8-sig", newline="") as file:
        for number, cells in enumerate(csv.reader(file), start=1):
            if number > 1 and any(cells):
                yield Row(f"row {number} of '{path}'", [cell.strip() for cell in cells])


def find_images(root: str | Path, names: Iterable[str], *, source: str) -> dict[str, Path]:
    """Find images by their names in a csv.

    Archives of a data set differ in their outer folders (``PF-dataset-PASCAL/JPEGImages/x.jpg`` is
    in ``PF-PASCAL/JPEGImages``), so leading folders of a name may be missing below ``root``.

    Args:
        root: folder of the data set, or its parent.
        names: paths with ``/`` as in the csv.
        source: origin of the data set, for the error about missing files.

    Returns:
        Mapping from names to files.
    """
    found = {name: _find_image(Path(root), name) for name in names}
    require_paths(found.values(), source=source)
    return found


def _find_image(root: Path, name: str) -> Path:
    """Return the file of a name, or its expected path if it is missing."""
    parts = name.split("/")
    candidates = [root.joinpath(*parts[skip:]) for skip in range(len(parts))]
    return next((path for path in candidates if path.is_file()), candidates[0])
