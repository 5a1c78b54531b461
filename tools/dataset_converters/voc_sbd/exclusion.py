"""Lists of images to leave out of a training set.

The paper trains on VOC12 without the images that PF-PASCAL is evaluated on (Sec. 4.4). Departure:
it names PF-PASCAL's validation images, but its results are those of the test pairs, so these are
the images that training must not see. The released script leaves out those of the training pairs
unless told otherwise.
"""

from __future__ import annotations

import csv
from pathlib import Path, PurePosixPath

_MEND = (
    "A csv has a header and an image in each of the first two columns, a text file one image in "
    "each line"
)


def read_exclusion(path: Path) -> set[str]:
    """Read the names of images from a list.

    Args:
        path: A csv of pairs, with a header and an image in each of the first two columns, or a text
            file with an image at the start of each line. Folders and extensions are left away.

    Returns:
        Names such as ``2008_000008``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If there are no names in it.
    """
    if path.suffix.lower() == ".csv":
        entries = [entry for row in _csv_rows(path)[1:] for entry in row[:2]]
    else:
        entries = [line.split()[0] for line in _text(path).splitlines() if line.strip()]
    if not entries:
        raise ValueError(f"Expected names of images in '{path}', but there are none. {_MEND}.")
    return {PurePosixPath(entry.strip().replace("\\", "/")).stem for entry in entries}


def read_pf_pascal_test(path: Path) -> set[str]:
    """Read the images of PF-PASCAL's test pairs.

    Args:
        path: The csv of the test pairs, ``test_pairs.csv`` or ``test_pairs_pf_pascal.csv``.

    Returns:
        Names such as ``2008_000008``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is empty, or a list of pairs without key points, as those to train on.
    """
    header = (_csv_rows(path) or [[]])[0]
    if len(header) < 7:
        raise ValueError(
            f"Expected the test pairs of PF-PASCAL in '{path}', a csv with the columns of two "
            f"images, a class and the key points XA, YA, XB, YB, but its header is {header}. The "
            "lists of the training pairs have no key points; to leave out others, use --exclude."
        )
    return read_exclusion(path)


def _csv_rows(path: Path) -> list[list[str]]:
    rows = csv.reader(_text(path).splitlines())
    return [row for row in rows if any(map(str.strip, row))]


def _text(path: Path) -> str:
    if not path.is_file():
        raise FileNotFoundError(
            f"Expected a list of images at '{path}', but there is no such file. {_MEND}; those of "
            "PF-PASCAL come with the code of NCNet and of those after it."
        )
    return path.read_text(encoding="utf-8-sig")
