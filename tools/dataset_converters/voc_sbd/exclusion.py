"""Read lists of images to exclude from a training set.

The paper trains on VOC12 without the images of PF-PASCAL's evaluation (Sec. 4.4). Departure: it
names PF-PASCAL's validation images, but reports results on the test pairs, so the images of the
test pairs are excluded here. The released script excludes those of the training pairs by default.
"""

from __future__ import annotations

import csv
from pathlib import Path, PurePosixPath

_FORMATS = (
    "A csv has a header and an image in each of the first two columns, a text file one image per "
    "line"
)


def read_exclusion(path: Path) -> set[str]:
    """Read the names of images from a list.

    Args:
        path: a csv of pairs, with a header and an image in each of the first two columns, or a text
            file with an image at the start of each line. Folders and extensions are dropped.

    Returns:
        Names such as ``2008_000008``.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if it has no names.
    """
    if path.suffix.lower() == ".csv":
        entries = [entry for row in _csv_rows(path)[1:] for entry in row[:2]]
    else:
        entries = [line.split()[0] for line in _text(path).splitlines() if line.strip()]
    if not entries:
        raise ValueError(f"Expected names of images in '{path}', but there are none. {_FORMATS}.")
    return {PurePosixPath(entry.strip().replace("\\", "/")).stem for entry in entries}


def read_pf_pascal_test(path: Path) -> set[str]:
    """Read the images of PF-PASCAL's test pairs.

    Args:
        path: csv of the test pairs, ``test_pairs.csv`` or ``test_pairs_pf_pascal.csv``.

    Returns:
        Names such as ``2008_000008``.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if it is empty, or a list of pairs without key points, such as the training
            pairs.
    """
    header = (_csv_rows(path) or [[]])[0]
    if len(header) < 7:
        raise ValueError(
            f"Expected the test pairs of PF-PASCAL in '{path}', a csv with the columns of two "
            f"images, a class and the key points XA, YA, XB, YB, but its header is {header}. The "
            "lists of the training pairs have no key points; use --exclude for other lists."
        )
    return read_exclusion(path)


def _csv_rows(path: Path) -> list[list[str]]:
    rows = csv.reader(_text(path).splitlines())
    return [row for row in rows if any(map(str.strip, row))]


def _text(path: Path) -> str:
    if not path.is_file():
        raise FileNotFoundError(
            f"Expected a list of images at '{path}', but there is no such file. {_FORMATS}; "
            "those of PF-PASCAL come with the code of NCNet and its successors."
        )
    return path.read_text(encoding="utf-8-sig")
