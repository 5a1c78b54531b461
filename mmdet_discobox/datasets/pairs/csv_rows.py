"""Rows of the csv files in which the Proposal Flow sets list their pairs."""

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
    """One row below the header.

    Attributes:
        where: The row, for errors, for example ``row 3 of 'val_pairs.csv'``.
        cells: Its cells, without spaces around them.
    """

    where: str
    cells: list[str]

    def fail(self, expected: str) -> ValueError:
        """Make the error for a row that is not as expected."""
        found = str(self.cells)
        found = found if len(found) <= 200 else f"{found[:197]}..."
        return ValueError(
            f"Expected {self.where} to have {expected}, but got {found}. Use the csv as published."
        )

    def points(self, x: Iterable[str], y: Iterable[str]) -> NDArray[np.float64]:
        """Turn the cells of the coordinates into points.

        Args:
            x: ``K`` numbers as text.
            y: As many.

        Returns:
            ``(K, 2)``, as they stand in the file.

        Raises:
            ValueError: If they are not as many, or no finite numbers.
        """
        try:
            points = np.array([*zip(x, y, strict=True)], dtype=np.float64).reshape(-1, 2)
        except ValueError:
            raise self.fail("as many x as y, all numbers") from None
        if not np.isfinite(points).all():
            raise self.fail("finite coordinates")
        return points


def read_rows(path: str | Path, *, source: str) -> Iterator[Row]:
    """Read a csv with one header line.

    Args:
        path: The file.
        source: Where it comes from, for the error.

    Yields:
        The rows that are not empty.

    Raises:
        FileNotFoundError: If there is no such file.
    """
    require_paths([Path(path)], source=source)
    with open(path, encoding="utf-8-sig", newline="") as file:
        for number, cells in enumerate(csv.reader(file), start=1):
            if number > 1 and any(cells):
                yield Row(f"row {number} of '{path}'", [cell.strip() for cell in cells])


def find_images(root: str | Path, names: Iterable[str], *, source: str) -> dict[str, Path]:
    """Find pictures by the names a csv has for them.

    Packs of a set differ in their outer folders (``PF-dataset-PASCAL/JPEGImages/x.jpg`` lies in
    ``PF-PASCAL/JPEGImages``), so leading folders of a name may be missing below ``root``.

    Args:
        root: Folder of the set, or the one above it.
        names: Paths with ``/`` as in the csv.
        source: Where the set comes from, for the error.

    Returns:
        For each name its file.

    Raises:
        FileNotFoundError: If pictures are missing; with the first path and their number.
    """
    found = {name: _find_image(Path(root), name) for name in names}
    require_paths(found.values(), source=source)
    return found


def _find_image(root: Path, name: str) -> Path:
    """Return the file of a name, or where it should be if it is not there."""
    parts = name.split("/")
    candidates = [root.joinpath(*parts[skip:]) for skip in range(len(parts))]
    return next((path for path in candidates if path.is_file()), candidates[0])
