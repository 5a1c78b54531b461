"""Find what is wrong with a COCO json of boxes, before a training run trips over it.

Only what a run on boxes reads is checked: the images with their sizes, the boxes, and that the
three lists refer to one another. ``segmentation`` and ``area`` are neither wanted nor looked at.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmdet_discobox.utils.types import Json

from .coco_records import (
    Problem,
    annotation_problems,
    category_problems,
    image_problems,
    quote,
    quote_some,
)

_SECTIONS = ("images", "annotations", "categories")


def load_coco_json(path: str | Path, *, name: str | None = None) -> Any:
    """Parse a json file.

    Args:
        path: File to read.
        name: What to call it in errors, where that is not its path.

    Returns:
        What the file holds; nothing of it is checked.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no json.
    """
    name = name or str(path)
    try:
        return json.loads(Path(path).read_bytes())
    except (FileNotFoundError, IsADirectoryError) as error:
        raise FileNotFoundError(
            f"Expected a COCO json at '{name}', but there is no such file. Set `ann_file`, which "
            "is relative to `data_root`."
        ) from error
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"Expected '{name}' to be a COCO json, but it cannot be parsed: {error}. Export it "
            "again from the labelling tool; a broken download or copy ends like this, too."
        ) from error


def check_coco_boxes(dataset: Any, *, name: str, classes: Sequence[str] | None = None) -> None:
    """Raise one error that tells of everything :func:`find_problems` finds.

    Args:
        dataset: Parsed json.
        name: What to call the file in the error.
        classes: Names of the classes to train, as in ``metainfo``; None checks no names.

    Raises:
        ValueError: With the number of problems and the first five of them.
    """
    problems = find_problems(dataset, classes=classes)
    if not problems:
        return
    shown = "".join(f"\n- {problem}" for problem in problems[:5])
    more = f"\n... and {len(problems) - 5} more" if len(problems) > 5 else ""
    raise ValueError(
        f"Expected '{name}' to be a COCO json with usable boxes, but found {len(problems)} "
        f"problem{'s' if len(problems) > 1 else ''}:{shown}{more}"
    )


def find_problems(dataset: Any, *, classes: Sequence[str] | None = None) -> list[Problem]:
    """Find everything that would stop a training run or silently spoil it.

    Args:
        dataset: Parsed json.
        classes: Names of the classes to train, as in ``metainfo``; None checks no names.

    Returns:
        The problems in the order of the file: first its structure, then images, categories,
        annotations, and last the names of the classes. Empty if all is well. Problems of
        structure stand alone, since nothing else can be told then.
    """
    if problems := _structure_problems(dataset):
        return problems
    problems = image_problems(dataset["images"]) + category_problems(dataset["categories"])
    problems += annotation_problems(**{section: dataset[section] for section in _SECTIONS})
    if classes is not None and not problems:
        problems += _class_problems(dataset["categories"], classes)
    return problems


def _structure_problems(dataset: Any) -> list[Problem]:
    if not isinstance(dataset, dict):
        found = f"is a json {type(dataset).__name__} instead of an object"
        return [Problem("the file", found, f"COCO has an object with the lists {_SECTIONS}")]
    problems = []
    for section in _SECTIONS:
        records = dataset.get(section)
        if not isinstance(records, list):
            found = "is missing" if section not in dataset else f"is {quote(records)}"
            mend = "COCO has a list here; choose 'COCO' or 'COCO detection' as the export format"
            problems.append(Problem(f"`{section}`", found, mend))
            continue
        for index, record in enumerate(records):
            if not isinstance(record, dict):
                mend = "COCO has an object here"
                problems.append(Problem(f"`{section}[{index}]`", f"is {quote(record)}", mend))
    return problems


def _class_problems(categories: list[Json], classes: Sequence[str]) -> list[Problem]:
    """Compare the classes to train with the json, which decides what label a class gets.

    mmdet numbers the classes in the order of the json, leaves out those that it does not find, and
    says nothing: labels would have other names, or the data set would be empty.
    """
    names = [category["name"] for category in categories]
    if isinstance(classes, str) or not classes:
        mend = f"Set metainfo=dict(classes=[{quote_some(names)}]) or to some of these"
        return [Problem("`metainfo`", f"`classes` is {classes!r}, no list of names", mend)]
    if missing := [name for name in classes if name not in set(names)]:
        found = f"`classes` has names that the json does not have: {quote_some(missing)}"
        mend = f"Set metainfo=dict(classes=[{quote_some(names)}]) or to some of these"
        return [Problem("`metainfo`", found, mend)]
    wanted = set(classes)
    if (order := [name for name in names if name in wanted]) != list(classes):
        found = f"`classes` is [{quote_some(classes)}], but the json has [{quote_some(order)}]"
        mend = "Name each once, in the order of the json, by which mmdet numbers them"
        return [Problem("`metainfo`", found, mend)]
    return []
